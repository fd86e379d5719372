# SPDX-License-Identifier: Apache-2.0
"""From the guest that Nova describes to the one that is started."""
from collections.abc import Callable
import dataclasses

from nova import objects
from nova.virt.libvirt import guest as libvirt_guest
from nova.virt.libvirt import host as libvirt_host

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.nvram import hosting
from nova_armvm.nvram import store as nvram_store
from nova_armvm.profile import guest_xml
from nova_armvm.uefi import boot
from nova_armvm.virt import boot_order


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


class Starter:
    """Gives a guest its store, the firmware it fits and its boot order."""

    def __init__(self, host: libvirt_host.Host, stores: nvram_store.Stores,
                 descriptors: Callable[[], tuple[firmware.Descriptor, ...]]
                 ) -> None:
        """Prepare.

        :param host: libvirt on this host.
        :param stores: of the instances here.
        :param descriptors: returns the firmware of this host, as of now.
        """
        self._host = host
        self._stores = stores
        self._descriptors = descriptors

    def as_chosen(self, xml: str) -> str:
        """Return a guest with the firmware that libvirt chooses for it.

        libvirt names a template only for a store that is a plain file, so
        the domain is defined with one. It is never started in this form;
        Nova's clean-up covers a failure from there on.

        :param xml: the guest as Nova describes it.
        :raises libvirt.libvirtError: libvirt refused the domain.
        """
        return self._defined(guest_xml.without_nvram(xml))

    def form(self, xml: str, store: hosting.ConnectedStore, reset: bool,
             chosen: str | None = None,
             file: guest_xml.FlashFile | None = None,
             brought: nvram_store.Brought = lambda: None) -> Form:
        """Make the guest's definition, and the store if it is new.

        Defines the domain, as starting it would, to learn what libvirt makes
        of it; Nova's clean-up covers a failure from there on.

        :param xml: the guest as Nova describes it.
        :param store: of this guest, connected.
        :param reset: begin again with the firmware's template.
        :param chosen: from as_chosen(), where that was asked already.
        :param file: what a new store begins with instead of the template.
        :param brought: asked for the variables that a new store gets from
            the image.
        :raises ArmVMError: the store or the firmware does not allow it.
        :raises libvirt.libvirtError: libvirt refused the domain.
        """
        def template() -> tuple[firmware.Descriptor, bool]:
            nonlocal chosen
            chosen = chosen or self.as_chosen(xml)
            return self._firmware_of(chosen)

        content = self._stores.content(store, reset, template, file, brought)
        if chosen:
            xml = guest_xml.with_firmware_of(xml, chosen)
        return self._form_for(
            guest_xml.with_nvram(xml, self._stores.source(store)), store,
            content)

    def resumed_form(self, xml: str,
                     store: hosting.ConnectedStore) -> Form:
        """Make the definition of a guest that wakes from its saved memory.

        It goes on where it was: neither firmware nor boot order matter.
        """
        xml = guest_xml.with_nvram(xml, self._stores.source(store))
        return Form(xml, xml, False)

    def _form_for(self, xml: str, store: hosting.ConnectedStore,
                  content: nvram_store.Content) -> Form:
        defined = self._defined(xml)
        if not content.new:
            self._stores.check_fits(store, content,
                                    *self._firmware_of(defined))
        last_offered = boot_order.from_text(
            store.volume.metadata.get(nvram_store.OFFERED_KEY, ''))
        lasting = guest_xml.with_guest_boot_order(xml)
        facts = dict(content.made_for)
        offered = guest_xml.offered_boot_paths(defined)
        # What is not understood is not put in order either.
        offers = (bool(offered) and content.variables is not None and
                  not boot.guest_owns_boot_order(content.variables,
                                                 last_offered))
        if offers:
            facts[nvram_store.OFFERED_KEY] = boot_order.to_text(offered)
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
