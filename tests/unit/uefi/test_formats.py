# SPDX-License-Identifier: Apache-2.0
import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
from unittest import mock
import zlib

import hypothesis
from hypothesis import strategies
import testtools

from nova_armvm import crc32c
from nova_armvm import exception
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore
from tests.unit.uefi import flash_images as images

_BIN = os.path.dirname(sys.executable)
_UEFIVARS = os.path.join(_BIN, 'uefivars')
_VIRT_FW_VARS = os.path.join(_BIN, 'virt-fw-vars')


def real(name):
    return set(varstore.parse(images.real(name)).variables.values())


class RoundTripTest(testtools.TestCase):

    def test_every_format_gives_back_what_it_was_given(self):
        for name in images.REAL:
            wanted = real(name)
            for content in (formats.to_json(wanted).encode(),
                            formats.to_aws(wanted).encode(),
                            images.real(name)):
                self.assertEqual(wanted, set(formats.read(content)))

    def test_formats_are_known_by_their_beginning(self):
        self.assertEqual('json', formats.kind_of(b' \n{"version": 2'))
        self.assertEqual('aws', formats.kind_of(
            formats.to_aws([]).encode()))
        self.assertEqual('raw', formats.kind_of(images.real('natural')))
        self.assertEqual('raw', formats.kind_of(bytes(100)))


class OthersTest(testtools.TestCase):
    """What other programs make and read."""

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, 'file')
        self.wanted = real('offered')

    def test_virt_fw_vars_reads_json(self):
        flash = self.path + '-flash'
        with open(self.path, 'w') as stream:
            stream.write(formats.to_json(self.wanted))
        with open(flash, 'wb') as stream:
            stream.write(edit.formatted(64 * 1024 * 1024))
        subprocess.run([_VIRT_FW_VARS, '-i', flash, '--set-json', self.path,
                        '-o', flash], check=True, capture_output=True)
        with open(flash, 'rb') as stream:
            found = formats.read(stream.read())
        self.assertEqual({each.key for each in self.wanted},
                         {each.key for each in found})

    def test_virt_fw_vars_writes_json(self):
        with open(self.path, 'wb') as stream:
            stream.write(edit.store_of(self.wanted, 64 * 1024 * 1024))
        subprocess.run([_VIRT_FW_VARS, '-i', self.path, '--output-json',
                        self.path + '-json'], check=True, capture_output=True)
        with open(self.path + '-json') as stream:
            self.assertEqual(self.wanted,
                             set(formats.from_json(stream.read())))

    def test_uefivars_reads_ec2s(self):
        with open(self.path, 'w') as stream:
            stream.write(formats.to_aws(self.wanted))
        said = subprocess.run(
            [_UEFIVARS, '-i', 'aws', '-I', self.path, '-o', 'json'],
            check=True, text=True, capture_output=True).stdout
        found = {(each['name'], each['guid'], each['data'])
                 for each in json.loads(said)['variables']}
        self.assertEqual(
            {(each.key.name, str(each.key.guid), each.content.hex())
             for each in self.wanted}, found)

    def test_uefivars_writes_ec2s(self):
        # Its reader of flash refuses AAVMF's blocks.
        with open(self.path, 'w') as stream:
            stream.write(formats.to_aws(self.wanted))
        said = subprocess.run(
            [_UEFIVARS, '-i', 'aws', '-I', self.path, '-o', 'aws'],
            check=True, text=True, capture_output=True).stdout
        self.assertEqual(self.wanted, set(formats.from_aws(said)))

    def test_without_uefivars_the_package_is_named(self):
        with mock.patch.object(formats, 'aws_v0', None):
            error = self.assertRaises(exception.PackageMissing,
                                      formats.to_aws, self.wanted)
        self.assertIn('pip install uefivars', str(error))


class InvalidTest(testtools.TestCase):

    def assert_invalid(self, content, *words):
        error = self.assertRaises(exception.VariableFileInvalid,
                                  formats.read, content)
        for word in words:
            self.assertIn(word, str(error))

    def test_json_of_another_kind(self):
        good = json.loads(formats.to_json(real('offered')))
        first = good['variables'][0]
        for document in (
                {}, {'version': 3, 'variables': []}, {'variables': []},
                {'version': 2, 'variables': [{}]},
                {'version': 2, 'variables': [{**first, 'guid': 'x'}]},
                {'version': 2, 'variables': [{**first, 'data': 'xyz'}]},
                {'version': 2, 'variables': [{**first, 'attr': '7'}]},
                {'version': 2, 'variables': [{**first, 'name': 7}]},
                {'version': 2, 'variables': [{**first, 'time': '00'}]},
                {'version': 2, 'variables': [first] * 5000}):
            self.assert_invalid(json.dumps(document).encode(), 'json')

    def test_nesting_without_end(self):
        self.assert_invalid(b'{"version":' + b'[' * 200_000, 'json')

    def test_text_that_is_too_long(self):
        self.assert_invalid(b'{' + b' ' * (5 * 1024 * 1024), 'too long')

    def aws(self, raw=b'', packed=None, checksum=None, version=0):
        if packed is None:
            packer = zlib.compressobj(zdict=formats._dictionary())
            packed = packer.compress(raw) + packer.flush()
        rest = struct.pack('<I', version) + packed
        return base64.b64encode(b'AMZNUEFI' + struct.pack(
            '<I', crc32c.crc32c(rest) if checksum is None else checksum) +
            rest)

    def test_ec2s_that_are_broken(self):
        good = formats.to_aws(real('offered')).encode()
        for content in (good[:40], good[:-40] + b'!' * 40,
                        self.aws(checksum=7), self.aws(version=1),
                        self.aws(packed=b'nonsense'), self.aws(b'\1'),
                        self.aws(struct.pack('<Q', 2 ** 60)),
                        self.aws(struct.pack('<QQ', 1, 2 ** 60)),
                        self.aws(struct.pack('<QQ', 1, 1) + b'\xff')):
            self.assert_invalid(content, 'aws')

    def test_what_unpacks_to_too_much_is_cut_off(self):
        self.assert_invalid(self.aws(
            struct.pack('<QQ', 1, 2 ** 30) + bytes(50 * 1024 * 1024)), 'aws')

    def test_any_bytes_end_with_variables_or_an_error(self):
        good = formats.to_aws(real('offered')).encode()

        @hypothesis.settings(deadline=None)
        @hypothesis.given(strategies.binary(max_size=500),
                          strategies.sampled_from((b'', b'{', good[:60])))
        def read(content, beginning):
            try:
                formats.read(beginning + content)
            except exception.ArmVMError:
                pass
        read()
