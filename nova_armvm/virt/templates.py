# SPDX-License-Identifier: Apache-2.0
"""Images with UEFI variables, read from Glance as the tenant may."""
from collections.abc import Iterator
import contextlib

from cryptography import exceptions as cryptography_errors
from cursive import exception as cursive_errors
from glanceclient import exc as glance_errors
from keystoneauth1 import exceptions as keystone_errors
from nova import context as nova_context
from nova import exception as nova_exception
from nova.image import glance
from nova import objects
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.store import template
from nova_armvm.virt import instances

LOG = logging.getLogger(__name__)

#: What Glance and Nova's client say of an image that cannot be had.
_NOT_FOR_YOU = (nova_exception.ImageNotFound,
                nova_exception.ImageNotAuthorized)
_UNSIGNED = (cryptography_errors.InvalidSignature,
             cursive_errors.SignatureVerificationError,
             nova_exception.CertificateValidationFailed)
#: OSError: the connection ended, or not all of the image came.
_NO_ANSWER = (nova_exception.NovaException, glance_errors.ClientException,
              keystone_errors.ClientException, OSError)


class Templates:
    """The variables that images bring along, for who begins with them.

    Read when a machine starts from nothing and when an operator has had its
    store reset; never on a move, whose store is what the guest has made of
    it.
    """

    def __init__(self) -> None:
        self._images = glance.API()
        self._held: dict[str, template.StoreTemplate] = {}

    @contextlib.contextmanager
    def held(self, context: nova_context.RequestContext,
             instance: objects.Instance, wanted: bool) -> Iterator[None]:
        """Read an instance's template before any work is done for it.

        :param wanted: the instance starts from nothing.
        :raises TemplateUnusable: it is none, or not for this tenant.
        :raises TemplateUnreachable: Glance does not answer.
        """
        if wanted:
            found = self.of(context, instance)
            if found is not None:
                self._held[instance.uuid] = found
        try:
            yield
        finally:
            self._held.pop(instance.uuid, None)

    def of(self, context: nova_context.RequestContext,
           instance: objects.Instance) -> template.StoreTemplate | None:
        """Return what an instance's store begins with, None for nothing.

        :param context: of the request; its rights decide.
        :raises TemplateUnusable: it is none, or not for this tenant.
        :raises TemplateUnreachable: Glance does not answer.
        """
        image_id = instances.template_image(instance)
        if image_id is None:
            return None
        if instance.uuid in self._held:
            return self._held[instance.uuid]
        with _translated(image_id):
            return self._read(context, instance, image_id)

    def _read(self, context: nova_context.RequestContext,
              instance: objects.Instance,
              image_id: str) -> template.StoreTemplate:
        image = self._images.get(context, image_id)
        template.check_image(image_id, image['status'], image['disk_format'],
                             image['size'])
        arriving = template.Arriving(image_id)
        self._images.download(context, image_id, data=arriving,
                              trusted_certs=instance.trusted_certs)
        found = arriving.template()
        LOG.info('Image %(image)s brings %(count)d UEFI variables along',
                 {'image': image_id, 'count': len(found.variables)},
                 instance=instance)
        return found


@contextlib.contextmanager
def _translated(image_id: str) -> Iterator[None]:
    """Say of what Nova raises what it means for the server."""
    try:
        yield
    except _NOT_FOR_YOU as error:
        raise template.unusable(
            image_id, 'it does not exist, or you may not see it') from error
    except nova_exception.ImageUnacceptable as error:
        raise template.unusable(image_id, 'it has no content') from error
    except _UNSIGNED as error:
        raise template.unusable(
            image_id, 'its signature is missing or not valid') from error
    except _NO_ANSWER as error:
        raise exception.TemplateUnreachable(image_id=image_id) from error
