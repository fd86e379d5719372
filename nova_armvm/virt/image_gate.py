# SPDX-License-Identifier: Apache-2.0
"""Images are looked into before a guest is first started from them."""
import os

from nova import objects
from nova.virt.libvirt import imagecache
from oslo_config import cfg
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.image import check
from nova_armvm.image import container
from nova_armvm.image import report

LOG = logging.getLogger(__name__)


class ImageGate:
    """What this host found out about images, once for each."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Prepare.

        :param conf: nova.conf.
        """
        self._conf = conf
        # What is wrong with an image, by its id; empty if nothing.
        self._known: dict[str, str] = {}

    def check(self, instance: objects.Instance) -> None:
        """Hold an instance's image against the specification.

        :param instance: its image is in Nova's cache by now; one that boots
            from a volume has none and passes.
        :raises ImageNotCompliant: it does not comply, or cannot be looked
            into, and [armvm] image_check says that this is a reason.
        """
        mode = self._conf.armvm.image_check
        if mode == 'off' or not instance.image_ref:
            return
        wrong = self._known.get(instance.image_ref)
        if wrong is None:
            wrong = self._look(instance.image_ref)
            self._known[instance.image_ref] = wrong
        if not wrong:
            return
        if mode == 'enforce':
            raise exception.ImageNotCompliant(findings=wrong)
        LOG.warning('The image %(image)s does not comply with the ARM VM '
                    'specification: %(wrong)s', {
                        'image': instance.image_ref, 'wrong': wrong},
                    instance=instance)

    def _look(self, image_id: str) -> str:
        path = os.path.join(
            self._conf.instances_path,
            self._conf.image_cache.subdirectory_name,
            imagecache.get_cache_fname(image_id))
        if not os.path.exists(path):
            return ('the compute host keeps no copy of it to look into '
                    '([libvirt] images_type)')
        try:
            with container.opened(path) as image:
                found = check.check(image.disk, image.format)
        except exception.ImageError as error:
            return str(error).rstrip('.')
        return '; '.join(
            f'{finding.id}: {finding.reason}' for finding in found.findings
            if finding.outcome is report.Outcome.FAIL)
