# SPDX-License-Identifier: Apache-2.0
import json
import os
import tempfile
import unittest

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.profile import guest_xml


def document(loader='/fw/CODE.fd', template='/fw/VARS.fd', form='raw'):
    mapping = {'device': 'flash',
               'executable': {'filename': loader, 'format': 'raw'}}
    if template is not None:
        mapping['nvram-template'] = {'filename': template, 'format': form}
    return {'mapping': mapping,
            'targets': [{'architecture': 'aarch64', 'machines': ['virt-*']}]}


def selected(template, loader='/fw/CODE.fd'):
    return guest_xml.SelectedFirmware(loader, template,
                                      template and 'raw', False)


class DescriptorsTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.etc = os.path.join(scratch.name, 'etc')
        self.share = os.path.join(scratch.name, 'share')
        os.mkdir(self.etc)
        os.mkdir(self.share)

    def put(self, directory, name, content):
        with open(os.path.join(directory, name), 'w') as stream:
            if isinstance(content, str):
                stream.write(content)
            else:
                json.dump(content, stream)

    def load(self):
        return firmware.load_descriptors((self.etc, self.share))

    def test_descriptor_is_read(self):
        self.put(self.share, '60-a.json', document(form='qcow2'))
        self.assertEqual(
            (firmware.Descriptor('60-a.json', frozenset({'aarch64'}),
                                 '/fw/CODE.fd', '/fw/VARS.fd', 'qcow2'),),
            self.load())

    def test_order_is_that_of_the_names_over_all_directories(self):
        self.put(self.share, '40-b.json', document())
        self.put(self.etc, '50-a.json', document())
        self.put(self.share, '60-c.json', document())
        self.assertEqual(['40-b.json', '50-a.json', '60-c.json'],
                         [found.name for found in self.load()])

    def test_earlier_directory_hides_the_same_name(self):
        self.put(self.etc, '60-a.json', document(loader='/mine'))
        self.put(self.share, '60-a.json', document(loader='/theirs'))
        self.assertEqual(['/mine'], [found.loader for found in self.load()])

    def test_empty_file_hides_and_offers_nothing(self):
        self.put(self.etc, '60-a.json', '')
        self.put(self.share, '60-a.json', document())
        self.assertEqual((), self.load())

    def test_firmware_without_template_is_left_out(self):
        self.put(self.share, '60-a.json', document(template=None))
        self.assertEqual((), self.load())

    def test_broken_descriptor_does_not_hide_the_others(self):
        self.put(self.share, '50-broken.json', '{"mapping": 3}')
        self.put(self.share, '55-broken.json', '{')
        self.put(self.share, '60-a.json', document())
        self.assertEqual(['60-a.json'], [found.name for found in self.load()])

    def test_missing_directory_is_no_error(self):
        self.assertEqual((), firmware.load_descriptors(('/does/not/exist',)))


class DescriptorOfTest(unittest.TestCase):

    plain = firmware.Descriptor('60.json', frozenset({'aarch64'}),
                                '/fw/CODE.fd', '/fw/VARS.fd', 'raw')
    enrolled = firmware.Descriptor('40.json', frozenset({'aarch64'}),
                                   '/fw/CODE.fd', '/fw/VARS.ms.fd', 'raw')

    def test_template_tells_descriptors_of_one_loader_apart(self):
        self.assertIs(self.plain, firmware.descriptor_of(
            selected('/fw/VARS.fd'), (self.enrolled, self.plain)))
        self.assertIs(self.enrolled, firmware.descriptor_of(
            selected('/fw/VARS.ms.fd'), (self.enrolled, self.plain)))

    def test_loader_decides_where_libvirt_names_no_template(self):
        self.assertIs(self.plain, firmware.descriptor_of(
            selected(None), (self.plain,)))

    def test_unknown_loader_is_an_error(self):
        with self.assertRaises(exception.FirmwareUnknown):
            firmware.descriptor_of(selected(None, '/other'), (self.plain,))

    def test_unknown_template_is_an_error_and_never_guessed(self):
        with self.assertRaises(exception.FirmwareUnknown):
            firmware.descriptor_of(selected('/other'), (self.plain,))
