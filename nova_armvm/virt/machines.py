# SPDX-License-Identifier: Apache-2.0
"""The hardware of this host's ARM machines: decided once, kept, described."""
from collections.abc import Callable

from nova import exception as nova_exception
from nova import objects
from nova.virt.libvirt import host as libvirt_host
from oslo_config import cfg
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.profile import machine
from nova_armvm.profile import offers
from nova_armvm.profile import registry
from nova_armvm.virt import host_offers
from nova_armvm.virt import instances

LOG = logging.getLogger(__name__)


class Machines:
    """What this host knows of the hardware of ARM machines."""

    def __init__(self, host: libvirt_host.Host,
                 conf: cfg.ConfigOpts) -> None:
        """Prepare.

        :param host: libvirt on this host.
        :param conf: nova.conf.
        """
        self._host = host
        self._conf = conf

    def _offers(self) -> dict[str, machine.Offer]:
        return host_offers.ask(self._host.get_connection(),
                               self._conf.libvirt.virt_type)

    def traits(self) -> dict[str, bool]:
        """Return the traits of this host, each with whether it has it."""
        return offers.traits(self._offers())

    def _setting(self, image_meta: objects.ImageMeta) -> machine.Setting:
        architecture = instances.architecture(image_meta)
        return machine.Setting(
            architecture=architecture,
            machine_type=image_meta.properties.get('hw_machine_type'),
            uefi=instances.has_uefi(image_meta),
            stateless=bool(image_meta.properties.get(
                'hw_firmware_stateless')),
            nvram_default=self._conf.armvm.nvram_default,
            offer=self._offers().get(architecture))

    def decide(self, instance: objects.Instance,
               image_meta: objects.ImageMeta) -> None:
        """Decide what a machine is made of, and keep that with the instance.

        Kept under image properties' keys, as Nova keeps hw_machine_type:
        every other key of system_metadata is copied into each snapshot.

        :raises ArmVMError: see registry.resolve().
        """
        hardware = registry.resolve(
            instances.image_properties(instance),
            instance.flavor.extra_specs, self._setting(image_meta))
        decided = hardware.decided()
        instance.system_metadata.update({
            instances.key_of(name): value for name, value in decided.items()})
        instance.save()
        LOG.info('The ARM machine of this server: %s', ', '.join(
            f'{name} {value}' for name, value in decided.items()),
            instance=instance)

    def refuse(self, instance: objects.Instance,
               image_meta: objects.ImageMeta) -> None:
        """Refuse properties of ours for a machine that is not of ARM.

        :raises PropertyUnmet: there is one.
        """
        registry.refuse_all(instances.image_properties(instance),
                            instance.flavor.extra_specs,
                            instances.architecture(image_meta))

    def described(self, instance: objects.Instance, xml: str,
                  completed: Callable[[str], str]) -> str:
        """Return a guest with the hardware that was decided for it.

        :param xml: as Nova describes it.
        :param completed: returns a guest as libvirt completes it.
        :raises HardwareNotOffered: this host does not have it.
        :raises PropertyInvalid: another driver built it, from an image with
            such values.
        """
        hardware = instances.hardware(instance)
        if not hardware.decided():
            return xml
        setting = self._setting(instance.image_meta)
        registry.check_offer(hardware, setting)
        xml = registry.apply(xml, hardware, setting.offer)
        if hardware.hotplug_ports is None:
            return xml
        return registry.with_free_ports(xml, completed(xml), hardware)

    def check_here(self, instance: objects.Instance) -> None:
        """Make sure that a machine from another host could run on this one.

        :raises nova.exception.MigrationPreCheckError: it could not.
        """
        try:
            registry.check_offer(instances.hardware(instance),
                                 self._setting(instance.image_meta))
        except exception.ArmVMError as error:
            raise nova_exception.MigrationPreCheckError(
                reason=str(error)) from error

    @staticmethod
    def check_flavor(instance: objects.Instance,
                     flavor: 'objects.Flavor') -> None:
        """Make sure that a resize changes nothing that was decided.

        :raises nova.exception.InstanceFaultRollback: it would; the server
            stays what and where it is.
        """
        try:
            registry.check_flavor(instances.hardware(instance),
                                  flavor.extra_specs)
        except exception.ArmVMError as error:
            raise nova_exception.InstanceFaultRollback(error) from error
