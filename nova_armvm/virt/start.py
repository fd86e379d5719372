# SPDX-License-Identifier: Apache-2.0
"""From the guest that Nova describes to the one that is started."""
from collections.abc import Callable
import dataclasses

from nova import objects
from nova.virt.libvirt import guest as libvirt_guest
from nova.virt.libvirt import host as libvirt_host
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.profile import guest_xml
from nova_armvm.store import metadata
from nova_armvm.store import origin as store_origin
from nova_armvm.store import store as nvram_store
from nova_armvm.store import template as image_template
from nova_armvm.uefi import boot
from nova_armvm.virt import boot_order


LOG = logging.getLogger(__name__)

#: libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE; the module is absent where
#: libvirt is only imitated.
_SAVED_IMAGE_SECURE = 1


@dataclasses.dataclass(frozen=True)
class Form:
    """How a guest is defined.

    :ivar xml: what it is started from.
    :ivar lasting_xml: what it is defined as from then on, also for a soft
        reboot, which starts it without Nova describing it again.
    :ivar offers_order: Nova's boot order is in ``xml`` and has to be
        withdrawn once QEMU has it.
    :ivar facts: what the volume is to remember of this start.
    """

    xml: str
    lasting_xml: str
    offers_order: bool
    facts: dict[str, str] = dataclasses.field(default_factory=dict)


#: Asked for the variables that a new store gets from its image.
LoadImage = Callable[[], image_template.StoreTemplate | None]


class Starter:
    """Gives a guest its store, the firmware it fits and its boot order."""

    def __init__(self, host: libvirt_host.Host,
                 socket: str, reconnect_seconds: int,
                 descriptors: Callable[[], tuple[firmware.Descriptor, ...]]
                 ) -> None:
        """Remember what starts are made with.

        :param host: libvirt on this host.
        :param socket: of the flash service, as QEMU finds it.
        :param reconnect_seconds: how long QEMU waits for the flash service.
        :param descriptors: returns the firmware of this host, as of now.
        """
        self._host = host
        self._socket = socket
        self._reconnect_seconds = reconnect_seconds
        self._descriptors = descriptors

    def source(self, instance: str) -> guest_xml.NvramSource:
        """Return where QEMU finds the flash of an instance."""
        return guest_xml.NvramSource(instance, self._socket,
                                     self._reconnect_seconds)

    def as_chosen(self, xml: str) -> str:
        """Return a guest with the firmware that libvirt chooses for it.

        libvirt names a template only for a store that is a plain file, so
        the domain is defined with one. It is never started in this form;
        Nova's clean-up covers a failure from there on.

        :param xml: the guest as Nova describes it.
        :raises libvirt.libvirtError: libvirt refused the domain.
        """
        return self._defined(guest_xml.without_nvram(xml))

    def form(self, xml: str, store: nvram_store.Store, fresh: bool,
             rebuild: bool, file: guest_xml.FlashFile | None,
             load_image: LoadImage, chosen: str | None = None) -> Form:
        """Make the guest's definition, and the store if it is new.

        Defines the domain, as starting it would, to learn what libvirt makes
        of it; Nova's clean-up covers a failure from there on.

        :param xml: the guest as Nova describes it.
        :param store: of this guest, attached.
        :param fresh: the guest never ran.
        :param rebuild: begin again with the origin.
        :param file: what a new store begins with instead of the template.
        :param load_image: asked for the variables that a new store gets from
            the image.
        :param chosen: from as_chosen(), where that was asked already.
        :raises ArmVMError: the store or the firmware does not allow it.
        :raises libvirt.libvirtError: libvirt refused the domain.
        """
        def find_origin() -> store_origin.Origin:
            nonlocal chosen
            chosen = chosen or self.as_chosen(xml)
            return store_origin.Origin(
                *self._firmware_of(chosen), file=file,
                image=load_image() if file is None else None)

        content = store.load(fresh, rebuild, find_origin,
                             take_over=file is not None)
        if chosen:
            xml = guest_xml.with_firmware_of(xml, chosen)
        return self._form_for(
            guest_xml.with_nvram(xml, self.source(store.ref.uuid)), store,
            content)

    def resumed_form(self, xml: str, store: nvram_store.Store) -> Form:
        """Make the definition of a guest that wakes from its saved memory.

        It goes on where it was: neither firmware nor boot order matter.
        """
        xml = guest_xml.with_nvram(xml, self.source(store.ref.uuid))
        return Form(xml, xml, False)

    def _form_for(self, xml: str, store: nvram_store.Store,
                  content: nvram_store.Content) -> Form:
        defined = self._defined(xml)
        if not content.new:
            descriptor, secure_boot = self._firmware_of(defined)
            store.check_firmware(content, store_origin.readable_size(
                descriptor.template, descriptor.template_format), secure_boot)
        last_offered = boot_order.from_text(store.volume.facts.boot_offered)
        lasting = guest_xml.with_guest_boot_order(xml)
        facts = dict(content.facts)
        offered = guest_xml.offered_boot_paths(defined)
        # What is not understood is not put in order either.
        offers = (bool(offered) and content.variables is not None and
                  not boot.guest_owns_boot_order(content.variables,
                                                 last_offered))
        if offers:
            facts[metadata.OFFERED_KEY] = boot_order.to_text(offered)
        return Form(xml if offers else lasting, lasting, offers, facts)

    def _defined(self, xml: str) -> str:
        guest = self._host.write_instance_config(xml)
        return guest.get_xml_desc(dump_inactive=True)

    def _firmware_of(self, xml: str) -> tuple[firmware.Descriptor, bool]:
        selected = guest_xml.selected_firmware(xml)
        if selected is None:
            raise exception.FirmwareUnknown()
        return (firmware.descriptor_of(selected, self._descriptors()),
                selected.secure_boot)

    def launched(self, guest: libvirt_guest.Guest, form: Form,
                 resume: bool) -> None:
        """Leave the boot order to a guest that was started paused.

        :param guest: started from ``form.xml``, no instruction run yet.
        :param form: must offer an order.
        :param resume: let it run.
        """
        try:
            boot_order.withdraw(guest)
            self._host.write_instance_config(form.lasting_xml)
            if resume:
                guest.resume()
        except Exception:
            # It would run with a boot order that destroys its own.
            guest.poweroff()
            raise

    def redefined(self, instance: objects.Instance) -> None:
        """Take the boot order out of a definition that Nova has made anew.

        :param instance: may be one without a store of ours, which is left
            as it is.
        :raises libvirt.libvirtError: libvirt refused the definition.
        :raises nova.exception.NovaException: there is no such guest, or no
            libvirt.
        """
        xml = self._host.get_guest(instance).get_xml_desc(
            dump_inactive=True, dump_sensitive=True)
        if guest_xml.has_store_of_ours(xml):
            self._host.write_instance_config(
                guest_xml.with_guest_boot_order(xml))

    def discard_scratch(self, xml: str) -> None:
        """Make sure that a rescue begins with an empty store.

        libvirt keeps the file of an earlier rescue and would use it again.

        :param xml: of the guest to be started, without a store of ours.
        """
        guest = self._host.write_instance_config(xml)
        guest.delete_configuration(keep_vtpm=True, keep_nvram=False)

    def mend_saved_image(self, uuid: str, instance: objects.Instance) -> None:
        """Let a saved image of the old form have its flash from the service.

        libvirt restores the domain as the image has it, whatever was defined
        since, and the name that a volume had when the guest was suspended
        may be another volume's now.

        :raises libvirt.libvirtError: if libvirt refuses the change.
        """
        domain = self._host.get_guest(instance)._domain
        if not domain.hasManagedSaveImage(0):
            return
        xml = domain.managedSaveGetXMLDesc(_SAVED_IMAGE_SECURE)
        if guest_xml.is_of_old_form(xml):
            domain.managedSaveDefineXML(
                guest_xml.with_nvram(xml, self.source(uuid)), 0)
            LOG.info('Changed the saved image of the guest to the flash '
                     'service', instance=instance)
