# SPDX-License-Identifier: Apache-2.0
"""The compute service refuses to start where it could not keep a store."""
from nova_armvm import exception
from tests.fixtures.cinder import fixture as cinder_fixture
from tests.functional import base


class StartUpTest(base.ArmServersTestCase):

    def refusal(self, **given):
        """Return why the service does not start."""
        return str(self.assertRaises(exception.HostNotReady,
                                     self.start_compute, **given))

    def test_ready_host_starts(self):
        self.start_compute()

    def test_credentials_of_cinder_are_missing(self):
        self.flags(auth_type=None, group='cinder')
        self.assertIn('[cinder] auth_type', self.refusal())

    def test_service_token_is_missing(self):
        self.flags(send_service_user_token=False, group='service_user')
        self.assertIn('[service_user] send_service_user_token',
                      self.refusal())

    def test_credentials_of_cinder_are_wrong(self):
        self.flags(password='wrong', group='cinder')
        text = self.refusal()
        self.assertIn('credentials of [cinder]', text)
        self.assertNotIn('wrong', text)

    def test_volume_type_is_unknown(self):
        self.flags(nvram_volume_type='nvram', group='armvm')
        self.assertIn('volume type "nvram"', self.refusal())

    def test_volume_type_is_private_to_others(self):
        self.cinder.store.add_type('nvram', projects=('another project',))
        self.flags(nvram_volume_type='nvram', group='armvm')
        self.assertIn('volume type "nvram"', self.refusal())

    def test_volume_type_is_private_to_the_service_project(self):
        self.cinder.store.add_type(
            'nvram', projects=(cinder_fixture.SERVICE_PROJECT,))
        self.flags(nvram_volume_type='nvram', group='armvm')
        self.start_compute()

    def test_volume_type_is_encrypted(self):
        self.cinder.store.add_type('nvram', encrypted=True)
        self.flags(nvram_volume_type='nvram', group='armvm')
        self.assertIn('encrypted', self.refusal())

    def test_volume_type_is_multi_attach(self):
        self.cinder.store.add_type('nvram',
                                   extra_specs={'multiattach': '<is> True'})
        self.flags(nvram_volume_type='nvram', group='armvm')
        self.assertIn('multi-attach', self.refusal())

    def test_libvirt_is_too_old(self):
        self.libvirt_version = 9001000
        self.assertIn('libvirt is older than 9.2.0', self.refusal())

    def test_firmware_is_missing(self):
        self.flags(firmware_descriptor_dirs=['/nonexistent'], group='armvm')
        text = self.refusal()
        self.assertIn('firmware_descriptor_dirs', text)
        self.assertIn('/nonexistent', text)

    def test_everything_is_told_at_once(self):
        self.flags(auth_type=None, group='cinder')
        self.flags(firmware_descriptor_dirs=['/nonexistent'], group='armvm')
        text = self.refusal()
        self.assertIn('(1)', text)
        self.assertIn('(2)', text)

    def test_unreachable_cinder_is_no_reason(self):
        self.cinder.unreachable = True
        self.start_compute()
        self.cinder.unreachable = False
        self.assert_store_in_use(self.boot())

    libvirt_version = base.libvirt.VERSION

    def _get_connection(self, *args, **kwargs):
        connection = super()._get_connection(*args, **kwargs)
        connection.fakeLibVersion = self.libvirt_version
        return connection
