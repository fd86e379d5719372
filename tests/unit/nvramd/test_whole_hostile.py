# SPDX-License-Identifier: Apache-2.0
import random
import unittest

from nova_armvm.uefi import ftw
from tests.unit.nvramd import edk2
from tests.unit.nvramd import hosts

SMALL = 16 * 1024
DAY = 86400.0


class HostileGuestTest(unittest.TestCase):
    """A guest writes to its flash whatever it likes."""

    def play(self, host, writes):
        for offset, content in writes:
            host.written(offset, content)
            # Raises when it does not parse.
            hosts.variables(host.committed[-1])

    def test_any_bytes_anywhere(self):
        for seed in range(6):
            chance = random.Random(seed)
            host = self.host(chance)
            writes = []
            for _write in range(250):
                size = chance.choice((1, 4, 60, 128, 4096, 65536))
                offset = chance.choice((
                    chance.randrange(len(host.region)),
                    chance.randrange(4096), 262144 + chance.randrange(160)))
                content = chance.choice((
                    chance.randbytes(size), bytes(size), b'\xff' * size,
                    edk2.variable('X', chance.randbytes(20)),
                    bytes(host.region[offset:offset + size])))
                size = len(host.region) - offset
                writes.append((offset, content[:size]))
            self.play(host, writes)

    def host(self, chance):
        block = chance.choice((4096, SMALL, ftw.BLOCK_SIZE))
        host = hosts.Host(block=block)
        host.guest.boot()
        hosts.work(host, 1, 10)
        host.checking = False
        host.trouble = lambda: chance.random() < 0.1 and host.restart()
        return host

    def test_bits_that_flip_in_the_headers(self):
        for seed in range(4):
            chance = random.Random(seed)
            host = self.host(chance)
            places = (*range(104), *range(104, 400, 3),
                      *range(host.guest.nor.block,
                             host.guest.nor.block + 120))
            writes = []
            for _write in range(300):
                place = chance.choice(places)
                byte = host.region[place] ^ 1 << chance.randrange(8)
                writes.append((place, bytes([byte])))
                if chance.random() < 0.7:
                    writes.append((place, bytes([host.region[place]])))
            self.play(host, writes)

    def test_store_with_thousands_of_variables(self):
        host = hosts.Host()
        host.guest.boot()
        host.checking = False
        head = bytes(host.region[:100])
        full = head + b''.join(edk2.variable(f'{number:x}', b'1')
                               for number in range(3000))
        host.written(0, full)
        host.now += DAY
        host.written(len(full), edk2.variable('new', b'1'))
        self.assertEqual(3001, len(hosts.variables(host.committed[-1])))
