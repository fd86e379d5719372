# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import random
import tracemalloc
import unittest
from unittest import mock

import hypothesis
from hypothesis import strategies
import zstandard

from nova_armvm.nvramd import errors
from nova_armvm.nvramd import log_format
from nova_armvm.nvramd import seals
from nova_armvm.nvramd import slots
from nova_armvm.uefi import region
from tests.unit.nvramd import logs
from tests.unit.nvramd import volumes

_JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.floats() |
    strategies.integers(-2 ** 70, 2 ** 70) | strategies.text(max_size=8),
    lambda inner: strategies.lists(inner, max_size=3) |
    strategies.dictionaries(strategies.text(max_size=4), inner, max_size=3),
    max_leaves=6)
_SLOT_PLACE = 64 * 1024 + slots.LANE_BYTES


class HostileVolumeTest(unittest.TestCase):
    """Anything may be on a volume, sealed rightly as well."""

    def setUp(self):
        self.volume = volumes.Memory()
        self.log = logs.made(self.volume)
        self.parts = {
            'header': (0, log_format._HEADER_MAGIC, log_format._HEADER,
                       slots.BLOCK),
            'owner': (2 * slots.BLOCK, log_format._OWNER_MAGIC,
                      log_format._OWNER, slots.BLOCK),
            'slot': (_SLOT_PLACE, log_format._SLOT_MAGIC, log_format._SLOT,
                     log_format._SLOT_HEAD)}

    def facts(self, part):
        place, magic, fields, size = self.parts[part]
        raw = self.volume.read_at(place, size)
        return seals.unseal(magic, raw, fields)

    def put(self, volume, part, text):
        """Put a text into the place of facts."""
        place, magic, _fields, size = self.parts[part]
        with mock.patch.object(json, 'dumps', lambda *_a, **_k: text):
            block = seals.seal(magic, {}, size)
        volume.content[place:place + size] = block

    def use(self, volume):
        """Do all that is done with a volume; only our errors may come."""
        try:
            log = logs.opened(volume)
            for version in log.versions():
                try:
                    log.read(version)
                except errors.VersionUnknown:
                    continue
            logs.append(log, log.claim('b', 2), b'new')
        except errors.FlashError:
            return
        self.assertEqual(b'new', logs.newest(volume))

    def test_every_field_missing_or_of_any_kind(self):
        values = (None, -1, True, 1.5, 2 ** 63 - 1, 2 ** 63, 'x', [],
                  [1], [[1]], [[1, None]], [[1, 2 ** 63]], {}, float('nan'))
        for part in self.parts:
            facts = self.facts(part)
            for name in facts:
                for value in values:
                    volume = volumes.Memory(self.volume.content)
                    self.put(volume, part, json.dumps({**facts, name: value}))
                    self.use(volume)
                volume = volumes.Memory(self.volume.content)
                self.put(volume, part, json.dumps({
                    key: fact for key, fact in facts.items() if key != name}))
                self.use(volume)

    def test_texts_that_are_no_facts(self):
        for text in ('', '[]', '1', '{', '9' * 900, '[' * 900,
                     '{"log":' * 100, 'null'):
            for part in self.parts:
                volume = volumes.Memory(self.volume.content)
                self.put(volume, part, text)
                self.use(volume)

    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(part=strategies.sampled_from(
        ('header', 'owner', 'slot')), value=_JSON, data=strategies.data())
    def test_facts_by_chance(self, part, value, data):
        facts = self.facts(part)
        name = data.draw(strategies.sampled_from(sorted(facts)))
        volume = volumes.Memory(self.volume.content)
        self.put(volume, part, json.dumps({**facts, name: value})[:900])
        self.use(volume)

    def bomb(self, length, packed):
        """Put a slot on the volume that unpacks to more than it says."""
        _version, slot = log_format.slot_of(
            self.log.id, b'', sequence=9, epoch=1, time=1, reason='x',
            flash_size=1)
        facts = seals.unseal(log_format._SLOT_MAGIC,
                             slot[:log_format._SLOT_HEAD], log_format._SLOT)
        facts.update(length=length, packed=len(packed),
                     packed_sha256=hashlib.sha256(
                         packed).hexdigest())
        slot = seals.seal(log_format._SLOT_MAGIC, facts,
                          log_format._SLOT_HEAD) + packed
        place = _SLOT_PLACE + slots.BLOCK
        self.volume.content[place:place + len(slot)] = slot

    def test_store_that_unpacks_to_a_gigabyte_is_not_unpacked(self):
        packer = zstandard.ZstdCompressor(level=1)
        stream = zstandard.ZstdCompressor(
            level=1, write_content_size=False)
        megabytes = 256
        sized = packer.compressobj(size=megabytes << 20)
        packed = b''.join(sized.compress(bytes(1 << 20))
                          for _each in range(megabytes)) + sized.flush()
        unsized = stream.compress(bytes(64 << 20))
        for length in 0, 10, region.REGION_MAX, megabytes << 20, 2 ** 62:
            for content in packed, unsized, b'', b'junk':
                self.bomb(length, content)
                tracemalloc.start()
                self.use(volumes.Memory(self.volume.content))
                _now, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                self.assertLess(peak, 32 * 1024 * 1024)

    def test_every_block_begins_a_slot_that_is_not_whole(self):
        head = bytes(self.volume.content[_SLOT_PLACE:_SLOT_PLACE + 1024])
        facts = seals.unseal(log_format._SLOT_MAGIC, head, log_format._SLOT)
        facts['packed'] = 500 * 1024
        head = seals.seal(log_format._SLOT_MAGIC, facts, 1024)
        for place in range(64 * 1024, slots.LOG_BYTES, slots.BLOCK):
            self.volume.content[place:place + 1024] = head
        self.assertIsNone(logs.opened(self.volume).newest)

    def test_junk(self):
        chance = random.Random(8)
        for _try in range(20):
            volume = volumes.Memory(self.volume.content)
            for _part in range(30):
                place = chance.randrange(slots.LOG_BYTES - 8192)
                volume.content[place:place + 8192] = chance.randbytes(8192)
            self.use(volume)
