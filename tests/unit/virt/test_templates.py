# SPDX-License-Identifier: Apache-2.0
"""What Glance says, as a server's fault has it."""
from cryptography import exceptions as cryptography_errors
from cursive import exception as cursive_errors
import fixtures
from glanceclient import exc as glance_errors
from keystoneauth1 import exceptions as keystone_errors
from nova import exception as nova_exception
from nova import objects
import testtools

from nova_armvm import exception
from nova_armvm.uefi import formats
from nova_armvm.uefi import varstore
from nova_armvm.virt import templates
from tests.unit.uefi import flash_images as images

ID = '1b7e6f1c-0a52-4d4e-9a8e-6a0c6b6f2f11'
CONTENT = formats.to_json([varstore.Variable(
    varstore.VariableKey(images.VENDOR, 'Name'), 7, b'content')]).encode()


class Glance:
    """Nova's client of one image.

    :ivar failure: raised when half of it has come.
    :ivar contexts: of those who asked.
    """

    def __init__(self):
        self.failure = None
        self.contexts = []
        self.certificates = None

    def get(self, context, image_id):
        self.contexts.append(context)
        if isinstance(self.failure, nova_exception.ImageNotFound):
            raise self.failure
        return {'status': 'active', 'disk_format': 'raw',
                'size': len(CONTENT)}

    def download(self, context, image_id, data, trusted_certs):
        self.contexts.append(context)
        self.certificates = trusted_certs
        data.write(CONTENT[:100])
        if self.failure:
            raise self.failure
        data.write(CONTENT[100:])


class TemplatesTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.glance = Glance()
        self.useFixture(fixtures.MonkeyPatch('nova.image.glance.API',
                                             lambda: self.glance))
        self.templates = templates.Templates()
        self.instance = objects.Instance(
            uuid='5c1f7f3e-8f4c-4bfb-8a39-3a0f7c0f3f4d', image_ref='image',
            trusted_certs=objects.TrustedCerts(ids=['certificate']),
            system_metadata={'image_hw_architecture': 'aarch64',
                             'image_hw_armvm_nvram': 'persistent',
                             'image_hw_armvm_nvram_template': ID})

    def test_image_is_read_with_the_rights_of_the_request(self):
        found = self.templates.of('context', self.instance)
        self.assertEqual(ID, found.image_id)
        self.assertEqual(['context'] * 2, self.glance.contexts)
        self.assertEqual(['certificate'], self.glance.certificates.ids)

    def test_image_is_read_once_while_it_is_held(self):
        with self.templates.held('context', self.instance, wanted=True):
            self.templates.of('other', self.instance)
        self.assertEqual(['context'] * 2, self.glance.contexts)
        self.templates.of('later', self.instance)
        self.assertEqual('later', self.glance.contexts[-1])

    def test_machine_that_goes_on_does_not_ask(self):
        with self.templates.held('context', self.instance, wanted=False):
            self.assertEqual([], self.glance.contexts)

    def test_machine_without_a_store_or_without_a_template_gets_nothing(self):
        self.instance.system_metadata['image_hw_armvm_nvram'] = 'volatile'
        self.assertIsNone(self.templates.of('context', self.instance))
        self.instance.system_metadata['image_hw_armvm_nvram'] = 'persistent'
        del self.instance.system_metadata['image_hw_armvm_nvram_template']
        self.assertIsNone(self.templates.of('context', self.instance))
        self.assertEqual([], self.glance.contexts)

    def refused(self, failure, error=exception.TemplateUnusable):
        self.glance.failure = failure
        return str(self.assertRaises(error, self.templates.of, 'context',
                                     self.instance))

    def test_reason_is_told_where_no_other_host_could_do_better(self):
        for failure, words in (
                (nova_exception.ImageNotFound(image_id=ID), 'may not see it'),
                (nova_exception.ImageNotAuthorized(image_id=ID),
                 'may not see it'),
                (nova_exception.ImageUnacceptable(image_id=ID, reason='x'),
                 'no content'),
                (cryptography_errors.InvalidSignature(), 'signature'),
                (cursive_errors.SignatureVerificationError(reason='x'),
                 'signature'),
                (nova_exception.CertificateValidationFailed(
                    cert_uuid='x', reason='x'), 'signature')):
            self.assertIn(words, self.refused(failure))

    def test_another_host_may_reach_what_this_one_cannot(self):
        for failure in (
                nova_exception.GlanceConnectionFailed(server='x', reason='x'),
                glance_errors.HTTPServiceUnavailable(),
                keystone_errors.ConnectFailure(),
                OSError('Corrupt image download')):
            told = self.refused(failure, exception.TemplateUnreachable)
            self.assertIn(ID, told)
            self.assertNotIn('Corrupt', told)
