# SPDX-License-Identifier: Apache-2.0
"""Servers that begin with the UEFI variables of an image."""
import contextlib
import io
import uuid

from nova import exception as nova_exception
from nova.tests.functional.api import client

from nova_armvm.store import metadata as facts
from nova_armvm.store import template
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore
from tests.fixtures import firmware
from tests.functional import base
from tests.functional import operators as commands
from tests.functional import two_hosts
from tests.unit.uefi import flash_images as images

GLOBAL = uuid.UUID('8be4df61-93ca-11d2-aa0d-00e098032b8c')


def variable(content: bytes, name='PK') -> varstore.Variable:
    return varstore.Variable(varstore.VariableKey(GLOBAL, name), 7, content)


def raw(*variables: varstore.Variable) -> bytes:
    return edit.store_of(variables, varstore.READ_SIZE)


#: What the firmware's own template brings.
FIRMWARES_OWN = {'Template': b'template of 60-edk2-aarch64'}
OPTION = images.load_option('loader', images.node(4, 4, images.ucs2('x.efi')))
KEYS = raw(variable(b'key'), variable(OPTION, 'Boot0003'),
           variable(b'\x03\0', 'BootOrder'))


class TemplateTestCase(base.ArmServersTestCase):

    def setUp(self):
        super().setUp()
        self.asked = []
        show = self.glance.show

        def show_as_asked(context, image_id, **kwargs):
            """Show private images to their project only, as Glance does."""
            image = show(context, image_id, **kwargs)
            if image_id in self.made:
                self.asked.append(context.project_id)
            if (image['visibility'] == 'private' and
                    image['owner'] != context.project_id):
                raise nova_exception.ImageNotFound(image_id=image_id)
            return image

        self.made = []
        self.glance.show = show_as_asked

    def template(self, content: bytes, **facts) -> str:
        """Upload variables; return the id of an image that names them."""
        made = self.glance.create(None, {
            'name': 'keys', 'disk_format': 'raw', 'container_format': 'bare',
            'min_ram': 0, 'min_disk': 0, 'protected': False, 'tags': [],
            'visibility': 'private', 'owner': self.api_fixture.project_id,
            'deleted_at': None, 'deleted': False, 'size': len(content),
            'properties': {}, **facts}, io.BytesIO(content))['id']
        self.made.append(made)
        return made

    def image_with(self, template_id: str, **properties: str) -> str:
        """Upload an image that names a template."""
        return self.make_image(**base.ARM_IMAGE, **properties,
                               hw_armvm_nvram_template=template_id)

    def contents(self, server) -> dict[str, bytes]:
        return {key.name: each.content
                for key, each in self.variables(server).items()}


class FirstBootTest(TemplateTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()

    def test_store_begins_with_the_variables_of_the_image(self):
        wanted = self.template(KEYS)
        server = self.boot(self.image_with(wanted))
        self.assert_store_in_use(server)
        self.assertEqual({'PK': b'key', 'BootOrder': b'\x03\0',
                          'Boot0003': OPTION}, self.contents(server))
        self.assertEqual({self.api_fixture.project_id}, set(self.asked))
        metadata = self.store_of(server).metadata
        self.assertEqual(wanted, metadata[facts.IMAGE_KEY])
        self.assertEqual(64, len(metadata[facts.IMAGE_CHECKSUM_KEY]))

    def test_rest_of_the_flash_is_the_firmwares(self):
        flash = self.flash(self.boot(self.image_with(self.template(KEYS))))
        self.assertEqual(firmware.FLASH_SIZE, len(flash))

    def test_every_format_of_export_will_do(self):
        wanted = [variable(b'key')]
        for content in (formats.to_json(wanted).encode(),
                        formats.to_aws(wanted).encode()):
            server = self.boot(self.image_with(self.template(content)))
            self.assertEqual({'PK': b'key'}, self.contents(server))

    def test_boot_order_of_the_image_is_the_guests(self):
        server = self.boot(self.image_with(self.template(KEYS)))
        self.assertEqual([{}], self.domain(server).boots)

    def test_later_starts_do_not_ask_for_the_image(self):
        wanted = self.template(KEYS)
        server = self.boot(self.image_with(wanted))
        self.glance.delete(None, wanted)
        self._stop_server(server)
        self._start_server(server)
        self._reboot_server(server, hard=True)
        self.assertEqual('key', self.contents(server)['PK'].decode())

    def test_two_servers_of_an_image_have_stores_of_their_own(self):
        image = self.image_with(self.template(KEYS))
        first, second = self.boot(image), self.boot(image)
        self.guest_writes(first, '1')
        self.assertEqual('', self.guest_reads(second))
        self.assertEqual(b'key', self.contents(second)['PK'])


class RefusalTest(TemplateTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()

    def refused(self, template_id: str, **properties: str) -> str:
        """Boot what cannot be; return the fault."""
        server = self.boot(self.image_with(template_id, **properties),
                           expected_state='ERROR')
        fault = server['fault']['message']
        self.assert_fit_for_a_tenant(fault)
        self._delete_server(server)
        self.assert_nothing_left()
        return fault

    def test_image_does_not_exist(self):
        missing = str(uuid.uuid4())
        fault = self.refused(missing)
        self.assertIn('does not exist, or you may not see it', fault)
        self.assertIn(missing, fault)

    def test_image_of_another_project(self):
        self.assertIn('you may not see it', self.refused(
            self.template(KEYS, owner='another')))

    def test_image_is_not_active(self):
        self.assertIn('it is deactivated', self.refused(
            self.template(KEYS, status='deactivated')))

    def test_disk_format_is_not_raw(self):
        self.assertIn('its disk format is qcow2', self.refused(
            self.template(KEYS, disk_format='qcow2')))

    def test_size_is_too_large(self):
        self.assertIn('larger than 64 MiB', self.refused(
            self.template(KEYS, size=template.MAX_BYTES + 1)))

    def test_more_comes_than_the_size_says(self):
        self.assertIn('larger than 64 MiB', self.refused(self.template(
            bytes(template.MAX_BYTES + 1), size=len(KEYS))))

    def test_content_is_something_else(self):
        self.assertIn('it is no variable store', self.refused(
            self.template(b'\x7fELF' + bytes(2 ** 20))))

    def test_content_is_empty(self):
        self.assertIn('it holds no UEFI variables', self.refused(
            self.template(bytes(2 ** 20))))

    def test_variables_do_not_fit(self):
        many = [variable(bytes([number]) * 60000, f'Key{number}')
                for number in range(1, 6)]
        self.assertIn('no room', self.refused(
            self.template(formats.to_json(many).encode())))

    def test_firmware_would_not_take_a_variable(self):
        volatile = varstore.Variable(
            varstore.VariableKey(GLOBAL, 'Gone'), 6, b'x')
        self.assertIn('non-volatile', self.refused(
            self.template(formats.to_json([volatile]).encode())))

    def test_variables_are_volatile(self):
        self.assertIn('volatile', self.refused(self.template(KEYS),
                                               hw_armvm_nvram='volatile'))

    def test_value_is_no_id(self):
        self.assertIn('uuid in lower case', self.refused('keys'))

    def test_flavor_cannot_name_one(self):
        error = self.assertRaises(
            client.OpenStackApiException, self._create_flavor,
            extra_spec={'armvm:nvram_template': self.template(KEYS)})
        self.assertIn('not appear to be a valid extra spec', str(error))


class LaterTest(TemplateTestCase):

    def setUp(self):
        super().setUp()
        self.start_compute()

    def test_rebuild_begins_with_the_template_of_the_new_image(self):
        server = self.boot(self.image_with(self.template(KEYS)))
        self.guest_writes(server, 'x')
        self._rebuild_server(server, self.image_with(
            self.template(raw(variable(b'other')))))
        self.assertEqual({'PK': b'other'}, self.contents(server))
        self.assertEqual('', self.guest_reads(server))

    def test_rebuild_from_an_image_without_one_begins_with_the_firmwares(
            self):
        server = self.boot(self.image_with(self.template(KEYS)))
        self._rebuild_server(server, self.image_without())
        self.assertEqual(FIRMWARES_OWN, self.contents(server))
        self.assertEqual('', self.store_of(server).metadata[facts.IMAGE_KEY])

    def image_without(self) -> str:
        return self.make_image(**base.ARM_IMAGE)

    def test_rebuild_with_a_bad_template_leaves_the_variables_alone(self):
        server = self.boot(self.image_with(self.template(KEYS)))
        with contextlib.suppress(client.OpenStackApiException):
            # In this process Nova's casts are calls.
            self.api.post_server_action(server['id'], {'rebuild': {
                'imageRef': self.image_with(str(uuid.uuid4()))}})
        server = self._wait_for_state_change(server, 'ERROR')
        self.assertIn('does not exist', server['fault']['message'])
        self.assertEqual(b'key', self.contents(server)['PK'])

    def test_snapshot_names_the_template_and_has_no_variables(self):
        wanted = self.template(KEYS)
        server = self.boot(self.image_with(wanted))
        own = {key: value
               for key, value in self.instance(server).system_metadata.items()
               if 'armvm' in key}
        self.assertEqual({'image_hw_armvm_nvram': 'persistent',
                          'image_hw_armvm_nvram_template': wanted}, own)


class MoveTest(two_hosts.TwoHostsTestCase, TemplateTestCase):

    def test_moves_do_not_ask_for_the_image(self):
        wanted = self.template(KEYS)
        self.server = self.boot(self.image_with(wanted))
        self.glance.delete(None, wanted)
        self.cold_migrate()
        self._confirm_resize(self.server)
        self.assert_store_in_use(self.server, 'compute2')
        self.assertEqual(b'key', self.contents(self.server)['PK'])


class ResetTest(commands.NvramCommandTestCase, TemplateTestCase):
    """An operator has the store of a server begin again."""

    def setUp(self):
        super().setUp()
        self.wanted = self.template(KEYS)
        self.server = self.boot(self.image_with(self.wanted))
        self.guest_writes(self.server, 'x')
        self._stop_server(self.server)
        self.editor.reset(self.server['id'])

    def test_reset_begins_with_the_template_of_the_image(self):
        self._start_server(self.server)
        self.assertEqual(b'key', self.contents(self.server)['PK'])
        self.assertEqual('', self.guest_reads(self.server))

    def test_reset_that_cannot_be_noted_as_done_stops_the_start(self):
        # Or the next start would lose what the guest writes now.
        self.cinder.fail('metadata_set', 400, times=1)
        with contextlib.suppress(client.OpenStackApiException):
            self.api.post_server_action(self.server['id'],
                                        {'os-start': None})
        self.assertIsNone(self.domain(self.server))
        self._start_server(self.server)
        self.guest_writes(self.server, 'y')
        self._reboot_server(self.server, hard=True)
        self.assertEqual('y', self.guest_reads(self.server))

    def refused_start(self) -> str:
        with contextlib.suppress(client.OpenStackApiException):
            self.api.post_server_action(self.server['id'],
                                        {'os-start': None})
        self.assertEqual('x', self.guest_reads(self.server))
        return self.reason(self.server, 'start')

    def test_server_is_not_started_without_its_keys(self):
        self.glance.delete(None, self.wanted)
        self.assertIn('does not exist', self.refused_start())

    def test_server_is_not_started_with_other_keys(self):
        self.glance.delete(None, self.wanted)
        self.template(raw(variable(b'forged')), id=self.wanted)
        self.assertIn('not what it was', self.refused_start())
        self.editor.undo(self.server['id'])
        self._start_server(self.server)
        self.assertEqual(b'key', self.contents(self.server)['PK'])
