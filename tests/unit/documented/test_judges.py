# SPDX-License-Identifier: Apache-2.0
"""The judges refuse what is wrong."""
import unittest

from tests.unit.documented import judges
from tests.unit.documented import parsers
from tools.documented import blocks

_WRONG = (
    ('console', '$ openstack server launch my-server'),
    ('console', '$ openstack server create --no-such-option my-server'),
    ('console', '$ openstack armvm image tag --spec 3.0 my-image'),
    ('console', '$ armvm-manage nvram shew my-server'),
    ('console', '$ armvm-image check'),
    ('console', '$ pip install a-package-that-nobody-requires'),
    ('console', "$ pip install 'nova-armvm[none]'"),
    ('console', '# apt-get install qemu-efi-no-such-machine'),
    ('console', '# make no-such-target'),
    ('console', '# make demo OPTS=all'),
    ('console', '$ tox -e no-such-environment'),
    ('console', '$ python3 -m tools.no_such_module'),
    ('console', '# python3 -m tools.sandbox dance'),
    ('console', '$ stestr run no_such_test'),
    ('console', '$ qemu-img convert --no-such-option a b'),
    ('console', '$ systemctl restart no-such-unit'),
    ('console', '$ no-such-program'),
    ('console', '$ echo "never ended'),
    ('console', 'printed before anything was typed'),
    ('console', '$ echo one\none'),
    ('ini', '[DEFAULT]\nno_such_option = 1\n'),
    ('ini', '[no_such_group]\ncompute_driver = x\n'),
    ('ini', '[armvm]\nnvram_default = sometimes\n'),
    ('ini', '[armvm]\nnvram_reconnect_seconds = 0\n'),
    ('ini', '[[local|localrc]]\nARMVM_NO_SUCH_SETTING=1\n'),
    ('ini', '[[local|localrc]]\nenable_plugin\n'),
    ('ini', '[[post-config|$NOVA_CONF]]\n[armvm]\nnvram_default = never\n'),
    ('ini', '[[post-config|$NO_SUCH_FILE]]\n[armvm]\n'),
    ('json', '{'), ('yaml', '- [a'), ('xml', '<a>'), ('python', 'def'),
    ('dockerfile', 'INSTALL nova-armvm'),
    ('jinja', '{% block a %}'),
    ('text', 'The volume is lost, and nobody in the code says so.'),
    ('cobol', 'STOP RUN.'),
)


class RefusalTest(unittest.TestCase):

    def test_what_is_wrong_is_refused(self):
        for language, text in _WRONG:
            with self.subTest(text), self.assertRaises(judges.Refused):
                judges.judge(blocks.Block('page', 1, language, '', text))

    def test_a_path_that_there_is_not(self):
        with self.assertRaises(judges.Refused):
            judges.judge(blocks.Block('page', 1, 'text', 'layout',
                                      'nova_armvm/nothing/  words'))

    def test_copied_output_needs_a_reason(self):
        text = '$ echo one\none'
        with self.assertRaises(judges.Refused):
            judges.judge(blocks.Block('page', 1, 'console', 'seen', text))
        judges.judge(blocks.Block('page', 1, 'console',
                                  'seen, in a guest', text))


class OurCommandsTest(unittest.TestCase):

    def test_every_level_is_found(self):
        found = parsers.our_commands()
        self.assertIn('armvm-manage nvram audit', found)
        self.assertIn('openstack armvm image tag', found)
        self.assertNotIn('armvm-manage nvram', found)
