# SPDX-License-Identifier: Apache-2.0
"""The rules of the imitated Cinder, through Nova's real client.

What the driver's tests conclude is worth as much as these rules, so each is
held here; they were taken from Cinder 29.
"""
from cinderclient import exceptions as cinder_errors
from keystoneauth1 import exceptions as keystone_errors
from nova import context as nova_context
from nova import exception
from nova import test
from nova.volume import cinder
from oslo_utils.fixture import uuidsentinel as uuids

from tests.fixtures.cinder import fixture
from tests.fixtures.cinder import identity

HERE = {'host': 'compute1'}
THERE = {'host': 'compute2'}


class CinderFixtureTestCase(test.NoDBTestCase):

    def setUp(self):
        super().setUp()
        self.cinder = self.useFixture(fixture.CinderFixture())
        self.api = cinder.API()
        self.admin = nova_context.get_admin_context()
        tenant = self.cinder.identity.add(identity.Account(
            'tenant', 'secret', uuids.tenant, 'tenants', ('member',)))
        self.tenant = nova_context.RequestContext(
            'tenant', uuids.tenant,
            auth_token=self.cinder.identity.issue(tenant),
            service_catalog=identity.catalogue_of_a_request())

    def made(self, context=None, **given):
        """Make a volume and wait until it is available."""
        context = context or self.admin
        volume = self.api.create(context, 1, 'a name', 'a description',
                                 **given)
        self.cinder.store.settle()
        return volume['id']

    def attached(self, volume_id, instance=uuids.instance, connector=HERE):
        """Attach a volume completely."""
        attachment = self.api.attachment_create(
            self.admin, volume_id, instance, connector=dict(connector))
        self.api.attachment_complete(self.admin, attachment['id'])
        return attachment['id']

    def status(self, volume_id):
        return self.api.get(self.admin, volume_id)['status']

    def refusal(self, call, *args, **kwargs):
        """Return the text of a 400."""
        return str(self.assertRaises(exception.InvalidInput, call, *args,
                                     **kwargs))

    def raw(self):
        return cinder.cinderclient(self.admin, '3.44')


class VolumeTest(CinderFixtureTestCase):

    def test_admin_context_makes_volumes_in_the_service_project(self):
        volume_id = self.made(metadata={'key': 'value'})
        volume = self.cinder.store.volumes[volume_id]
        self.assertEqual(fixture.SERVICE_PROJECT, volume.project)
        self.assertEqual('value', volume.metadata['key'])

    def test_volume_is_creating_before_it_is_available(self):
        self.cinder.store.behaviour.looks_until_created = 2
        # Nova's own create() looks once by itself.
        volume_id = self.raw().volumes.create(1).id
        self.assertEqual(['creating', 'creating', 'available'],
                         [self.status(volume_id) for _look in range(3)])

    def test_creation_may_end_in_error(self):
        self.cinder.store.behaviour.creation_ends_in = 'error'
        self.assertEqual('error', self.status(self.made()))

    def test_creation_may_never_end(self):
        self.cinder.store.behaviour.creation_ends_in = None
        self.assertEqual('creating', self.status(self.made()))

    def test_over_quota_is_refused_and_makes_nothing(self):
        self.cinder.store.quota[fixture.SERVICE_PROJECT] = 1
        self.made()
        self.assertRaises(exception.OverQuota, self.made)
        self.assertEqual(1, len(self.cinder.volumes_left()))

    def test_unknown_type_is_refused(self):
        self.assertRaises(exception.NotFound, self.made,
                          volume_type='no such type')

    def test_private_type_is_for_its_projects(self):
        self.cinder.store.add_type('private',
                                   projects=(fixture.SERVICE_PROJECT,))
        self.made(volume_type='private')
        self.assertRaises(exception.NotFound, self.made, self.tenant,
                          volume_type='private')

    def test_volume_is_found_by_name_and_by_metadata(self):
        volume_id = self.made(metadata={'key': 'value'})
        self.made(metadata={'key': 'other'})
        for wanted, count in (({'name': 'a name'}, 2),
                              ({'name': 'a'}, 0),
                              ({'metadata': {'key': 'value'}}, 1)):
            found = self.api.get_all(self.admin, wanted)
            self.assertEqual(count, len(found), wanted)
        self.assertEqual(volume_id, found[0]['id'])

    def test_metadata_is_added_to(self):
        volume_id = self.made(metadata={'key': 'value'})
        self.raw().volumes.set_metadata(volume_id, {'more': '1'})
        self.assertEqual(
            {'key': 'value', 'more': '1'},
            self.api.get(self.admin, volume_id)['volume_metadata'])

    def test_metadata_is_replaced(self):
        volume_id = self.made(metadata={'key': 'value'})
        self.raw().volumes.update_all_metadata(volume_id, {'more': '1'})
        self.assertEqual(
            {'more': '1'},
            self.api.get(self.admin, volume_id)['volume_metadata'])

    def test_deletion_takes_its_time(self):
        volume_id = self.made()
        self.api.delete(self.admin, volume_id)
        self.assertEqual('deleting', self.status(volume_id))
        self.assertRaises(exception.VolumeNotFound, self.status, volume_id)

    def test_volume_being_made_cannot_be_deleted(self):
        volume = self.api.create(self.admin, 1, 'a', 'b')
        self.refusal(self.api.delete, self.admin, volume['id'])

    def test_broken_volume_can_be_deleted(self):
        self.cinder.store.behaviour.creation_ends_in = 'error'
        self.api.delete(self.admin, self.made())
        self.assertEqual([], self.cinder.volumes_left())

    def test_volume_with_snapshots_is_deleted_in_a_cascade_only(self):
        volume_id = self.made()
        self.cinder.store.volumes[volume_id].snapshots = 1
        self.refusal(self.api.delete, self.admin, volume_id)
        self.raw().volumes.delete(volume_id, cascade=True)
        self.assertEqual([], self.cinder.volumes_left())


class TenantTest(CinderFixtureTestCase):
    """Volumes of the service project are out of a tenant's sight."""

    def test_tenant_does_not_see_a_volume_of_the_service_project(self):
        volume_id = self.made()
        self.assertRaises(exception.VolumeNotFound, self.api.get,
                          self.tenant, volume_id)
        self.assertEqual([], self.api.get_all(self.tenant))

    def test_admin_sees_a_volume_of_a_tenant(self):
        volume_id = self.made(self.tenant)
        self.assertEqual('available', self.status(volume_id))
        self.assertEqual([], self.api.get_all(self.admin))
        self.assertEqual(1, len(self.api.get_all(self.admin,
                                                 {'all_tenants': 1})))

    def test_attachments_are_listed_for_the_project_of_their_volume(self):
        self.attached(self.made())
        for context, count in ((self.admin, 1), (self.tenant, 0)):
            self.assertEqual(count, len(self.api.attachment_get_all(
                context, instance_id=uuids.instance)))

    def test_tenant_cannot_use_an_attachment_of_the_service_project(self):
        attachment_id = self.attached(self.made())
        self.assertRaises(exception.VolumeAttachmentNotFound,
                          self.api.attachment_get, self.tenant, attachment_id)


class AttachmentTest(CinderFixtureTestCase):

    def test_attachment_without_connector_reserves(self):
        volume_id = self.made()
        self.api.attachment_create(self.admin, volume_id, uuids.instance)
        self.assertEqual('reserved', self.status(volume_id))

    def test_attachment_with_connector_is_attaching_until_completed(self):
        volume_id = self.made()
        attachment = self.api.attachment_create(
            self.admin, volume_id, uuids.instance, connector=dict(HERE))
        self.assertEqual('attaching', self.status(volume_id))
        self.api.attachment_complete(self.admin, attachment['id'])
        self.assertEqual('in-use', self.status(volume_id))

    def test_connection_names_the_bytes_of_the_volume(self):
        volume_id = self.made()
        attachment = self.api.attachment_create(
            self.admin, volume_id, uuids.instance, connector=dict(HERE),
            mountpoint='nvram')
        connection = attachment['connection_info']
        self.assertEqual('local', connection['driver_volume_type'])
        self.assertEqual(self.cinder.store.volumes[volume_id].path,
                         connection['data']['device_path'])
        again = self.api.attachment_get(self.admin, attachment['id'])
        self.assertEqual(connection['data'],
                         again['connection_info']['data'])

    def test_volume_shows_completed_attachments_with_their_hosts(self):
        volume_id = self.made()
        attachment_id = self.attached(volume_id)
        self.api.attachment_create(self.admin, volume_id, uuids.instance,
                                   connector=dict(THERE))
        shown = self.raw().volumes.get(volume_id).attachments
        self.assertEqual(
            [(attachment_id, 'compute1')],
            [(each['attachment_id'], each['host_name']) for each in shown])

    def test_other_instance_cannot_attach_too(self):
        volume_id = self.made()
        self.attached(volume_id)
        for instance in (uuids.other, None):
            self.refusal(self.api.attachment_create, self.admin, volume_id,
                         instance, connector=dict(THERE))

    def test_same_instance_can_attach_from_a_second_host(self):
        volume_id = self.made()
        self.attached(volume_id)
        second = self.api.attachment_create(
            self.admin, volume_id, uuids.instance, connector=dict(THERE))
        self.assertEqual('attaching', self.status(volume_id))
        self.api.attachment_complete(self.admin, second['id'])
        self.assertEqual('in-use', self.status(volume_id))
        self.assertEqual(2, len(self.cinder.store.attachments))

    def test_incomplete_attachment_blocks_every_other(self):
        volume_id = self.made()
        self.api.attachment_create(self.admin, volume_id, uuids.instance,
                                   connector=dict(HERE))
        text = self.refusal(self.api.attachment_create, self.admin,
                            volume_id, uuids.instance,
                            connector=dict(THERE))
        self.assertIn('attaching', text)

    def test_update_is_refused_as_soon_as_another_is_connected(self):
        volume_id = self.made()
        self.attached(volume_id)
        reserved = self.api.attachment_create(self.admin, volume_id,
                                              uuids.instance)
        self.assertRaises(
            cinder_errors.ClientException, self.api.attachment_update,
            self.admin, reserved['id'], dict(THERE))

    def test_attached_volume_cannot_be_deleted(self):
        volume_id = self.made()
        attachment_id = self.attached(volume_id)
        self.refusal(self.api.delete, self.admin, volume_id)
        self.api.attachment_delete(self.admin, attachment_id)
        self.api.delete(self.admin, volume_id)
        self.assertEqual([], self.cinder.volumes_left())

    def test_status_after_detaching_follows_from_the_rest(self):
        volume_id = self.made()
        first = self.attached(volume_id)
        second = self.api.attachment_create(
            self.admin, volume_id, uuids.instance, connector=dict(THERE))
        self.api.attachment_delete(self.admin, second['id'])
        self.assertEqual('in-use', self.status(volume_id))
        self.api.attachment_delete(self.admin, first)
        self.assertEqual('available', self.status(volume_id))

    def test_deleting_a_missing_attachment_is_no_error(self):
        self.api.attachment_delete(self.admin, uuids.missing)

    def test_failure_of_the_back_end_leaves_the_attachment_behind(self):
        volume_id = self.made()
        self.cinder.store.behaviour.refuses_connection = True
        self.assertRaises(
            cinder_errors.ClientException, self.api.attachment_create,
            self.admin, volume_id, uuids.instance, connector=dict(HERE))
        self.assertEqual('reserved', self.status(volume_id))
        left = self.api.attachment_get_all(self.admin, volume_id=volume_id)
        self.assertEqual(1, len(left))
        self.api.attachment_delete(self.admin, left[0]['id'])
        self.assertEqual('available', self.status(volume_id))

    def test_nova_is_asked_before_detaching_without_a_service_token(self):
        self.flags(send_service_user_token=False, group='service_user')
        self.api.attachment_delete(self.admin, self.attached(self.made()))
        self.assertEqual([uuids.instance],
                         self.cinder.store.nova_was_asked_about)

    def test_nova_is_not_asked_with_a_service_token(self):
        self.api.attachment_delete(self.admin, self.attached(self.made()))
        self.assertEqual([], self.cinder.store.nova_was_asked_about)


class FaultTest(CinderFixtureTestCase):

    def test_unreachable_cinder_refuses_the_connection(self):
        self.cinder.unreachable = True
        self.assertRaises(exception.CinderConnectionFailed, self.made)

    def test_wrong_password_is_refused_by_keystone(self):
        self.flags(password='wrong', group='cinder')
        self.assertRaises(keystone_errors.Unauthorized, self.made)

    def test_operation_can_fail_before_anything_is_done(self):
        self.cinder.fail('volume_create', 503)
        error = self.assertRaises(cinder_errors.ClientException, self.made)
        self.assertEqual(503, error.code)
        self.assertEqual([], self.cinder.volumes_left())

    def test_operation_can_fail_after_it_was_done(self):
        self.cinder.fail('volume_create', 504, after=True)
        error = self.assertRaises(cinder_errors.ClientException, self.made)
        self.assertEqual(504, error.code)
        self.assertEqual(1, len(self.cinder.volumes_left()))

    def test_operation_can_fail_for_a_while(self):
        self.cinder.fail('volume_create', 503, times=1)
        self.assertRaises(cinder_errors.ClientException, self.made)
        self.made()


class TypeTest(CinderFixtureTestCase):

    def test_admin_is_shown_private_types_without_access(self):
        self.cinder.store.add_type('private', projects=(uuids.other,))
        names = [each.name for each in self.raw().volume_types.list(
            search_opts={'is_public': None})]
        self.assertEqual(['__DEFAULT__', 'private'], names)

    def test_encryption_of_a_type(self):
        types = self.cinder.store
        plain = types.add_type('plain')
        secret = types.add_type('secret', encrypted=True)
        encryption = self.raw().volume_encryption_types
        self.assertFalse(hasattr(encryption.get(plain.id), 'encryption_id'))
        self.assertEqual('luks', encryption.get(secret.id).provider)

    def test_access_of_a_private_type(self):
        private = self.cinder.store.add_type('private',
                                             projects=(uuids.other,))
        self.assertEqual(
            [uuids.other],
            [each.project_id
             for each in self.raw().volume_type_access.list(private.id)])
