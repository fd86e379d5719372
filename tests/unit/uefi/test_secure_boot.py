# SPDX-License-Identifier: Apache-2.0
"""Secure Boot's variables, beside those that virt-fw-vars makes."""
import datetime
import os
import subprocess
import sys
import tempfile
import uuid

import hypothesis
from hypothesis import strategies
import testtools

from nova_armvm import exception
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import secure_boot
from nova_armvm.uefi import varstore
from tests.unit import certificates

_VIRT_FW_VARS = os.path.join(os.path.dirname(sys.executable), 'virt-fw-vars')
OWNER = uuid.UUID('6a3f9d2c-51f0-4f0e-8d57-0f6c3d8b7a10')
NOW = datetime.datetime(2026, 11, 25, 12, 30, 15, 999,
                        tzinfo=datetime.timezone.utc)


class CertificatesTest(testtools.TestCase):

    def read(self, content):
        return secure_boot.certificates(content, 'db.crt')

    def test_pem_and_der_give_the_same(self):
        self.assertEqual((certificates.der('db'),),
                         self.read(certificates.pem('db')))
        self.assertEqual((certificates.der('db'),),
                         self.read(certificates.der('db')))

    def test_file_may_hold_several(self):
        self.assertEqual(
            (certificates.der('one'), certificates.der('two')),
            self.read(certificates.pem('one') + b'# and\n' +
                      certificates.pem('two')))

    def refused(self, content):
        error = self.assertRaises(exception.FileUnusable, self.read, content)
        self.assertIn('db.crt', str(error))
        return str(error)

    def test_private_key_is_refused_and_not_shown(self):
        told = self.refused(certificates.made('db')[1])
        self.assertIn('private key', told)
        self.assertNotIn('BEGIN', told)

    def test_large_file_is_refused_unread(self):
        self.assertIn('too large', self.refused(
            bytes(secure_boot.MAX_FILE + 1)))

    @hypothesis.given(strategies.binary(max_size=200),
                      strategies.sampled_from(
                          (b'', b'\x30\x82', b'-----BEGIN CERTIFICATE-----')))
    def test_anything_else_is_refused(self, content, beginning):
        # See test_private_key_is_refused_and_not_shown.
        hypothesis.assume(b'PRIVATE KEY-----' not in content)
        self.assertIn('neither PEM nor DER',
                      self.refused(beginning + content))


class EnrolledTest(testtools.TestCase):

    def test_variables_are_those_of_virt_fw_vars(self):
        keys = secure_boot.Keys(
            certificates.der('pk'), (certificates.der('kek'),),
            (certificates.der('one'), certificates.der('two')))
        ours = {each.key: each
                for each in secure_boot.enrolled(keys, OWNER, NOW)}
        with tempfile.TemporaryDirectory() as directory:
            theirs = self.by_virt_fw_vars(directory)
        self.assertEqual(set(theirs), set(ours))
        for key, variable in theirs.items():
            self.assertEqual(variable.content.hex(), ours[key].content.hex())
            self.assertEqual(variable.attributes, ours[key].attributes)
            self.assertIsNotNone(variable.timestamp)

    def by_virt_fw_vars(self, directory):
        command = [_VIRT_FW_VARS]
        empty = os.path.join(directory, 'empty')
        with open(empty, 'wb') as stream:
            stream.write(edit.formatted(varstore.READ_SIZE))
        for option, name in (('--set-pk', 'pk'), ('--add-kek', 'kek'),
                             ('--add-db', 'one'), ('--add-db', 'two')):
            path = os.path.join(directory, name)
            with open(path, 'wb') as stream:
                stream.write(certificates.pem(name))
            command += [option, str(OWNER), path]
        made = os.path.join(directory, 'made')
        subprocess.run([*command, '-i', empty, '--output-json', made],
                       check=True, capture_output=True)
        with open(made, encoding='utf-8') as stream:
            return {each.key: each
                    for each in formats.from_json(stream.read())}

    def test_virt_fw_vars_finds_them_in_a_flash(self):
        keys = secure_boot.Keys(certificates.der('pk'), (),
                                (certificates.der('db'),),
                                (certificates.der('bad'),))
        with tempfile.NamedTemporaryFile() as flash:
            flash.write(edit.store_of(
                secure_boot.enrolled(keys, OWNER, NOW), varstore.READ_SIZE))
            flash.flush()
            said = subprocess.run(
                [_VIRT_FW_VARS, '-i', flash.name, '--print', '--verbose'],
                check=True, capture_output=True, text=True).stdout
        for name in ('PK', 'db', 'dbx'):
            self.assertIn(f'name={name} ', said)
        self.assertIn('time=2026-11-25 12:30:15', said)
        self.assertNotIn('name=KEK', said)
        self.assertIn('subject CN: bad', said.replace('=', ': '))

    def test_time_has_no_part_that_flash_would_lose(self):
        keys = secure_boot.Keys(certificates.der('pk'), (), ())
        made = secure_boot.enrolled(keys, OWNER, NOW)
        found = varstore.parse(edit.store_of(made, varstore.READ_SIZE))
        self.assertEqual(set(made), set(found.variables.values()))
