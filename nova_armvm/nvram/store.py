# SPDX-License-Identifier: Apache-2.0
"""What a store holds, and for which firmware it was made.

While the seed is written the volume has no magic number yet; a process that
dies then leaves a volume that is seeded again (nova_armvm.nvram.seed).
"""
from collections.abc import Callable
import contextlib
import dataclasses

from oslo_concurrency import processutils
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.host import firmware
from nova_armvm.host import privileged
from nova_armvm.nvram import access
from nova_armvm.nvram import hosting
from nova_armvm.nvram import previous
from nova_armvm.nvram import qcow2
from nova_armvm.nvram import seed
from nova_armvm.nvram import template as image_template
from nova_armvm.nvram import volume as cinder_volume
from nova_armvm.profile import guest_xml
from nova_armvm.uefi import ftw
from nova_armvm.uefi import varstore

LOG = logging.getLogger(__name__)

# What a volume remembers of the firmware that its store was made for.
FLASH_SIZE_KEY = 'armvm_flash_size'
DESCRIPTOR_KEY = 'armvm_firmware'
TEMPLATE_KEY = 'armvm_template_sha256'
SECURE_BOOT_KEY = 'armvm_secure_boot'
OFFERED_KEY = 'armvm_boot_offered'
# The whole flash was written, zeros and all, by a live migration.
SWOLLEN_KEY = 'armvm_swollen'
# The image whose variables the store began with, and what was in it.
IMAGE_KEY = 'armvm_template_image'
IMAGE_CHECKSUM_KEY = 'armvm_template_image_sha256'

Brought = Callable[[], image_template.StoreTemplate | None]


@dataclasses.dataclass(frozen=True)
class Content:
    """What a store holds when its guest is about to start.

    :ivar flash_size: bytes of flash that the guest will see.
    :ivar variables: as of now; None where the store cannot be understood.
    :ivar made_for: facts of the firmware that the volume does not hold yet.
    :ivar new: the store was seeded just now.
    """

    flash_size: int
    variables: varstore.VariableStore | None
    made_for: dict[str, str]
    new: bool


class Stores:
    """The content of stores that are connected to this host."""

    def __init__(self, volumes: cinder_volume.StoreVolumes,
                 host_side: hosting.HostSide,
                 seeds: seed.SeedBuilder) -> None:
        self._volumes = volumes
        self._host_side = host_side
        self._seeds = seeds
        self._previous = previous.PreviousContents(volumes, limit=0)

    def source(self, store: hosting.ConnectedStore) -> guest_xml.NvramSource:
        """Return how libvirt is told of a store."""
        return self._host_side.source(store.attachment.connection_info)

    def content(
            self, store: hosting.ConnectedStore, reset: bool,
            template: Callable[[], tuple[firmware.Descriptor, bool]],
            file: guest_xml.FlashFile | None = None,
            brought: Brought = lambda: None) -> Content:
        """Read a store, after seeding it when it is new.

        :param store: not in use by a guest.
        :param reset: begin again with the template (rebuild).
        :param template: asked when the volume does not say what it was made
            for: the firmware that the guest gets and whether it is for
            Secure Boot.
        :param file: what a new store begins with instead of the template.
        :param brought: asked when the store is seeded: the variables that
            the image brings along, None for those of the firmware.
        :raises StoreSeedFailed: the template could not be written.
        :raises TemplateUnusable: what the image brings along is no use.
        :raises StoreReadFailed: the volume could not be read.
        :raises StoreImageInvalid: it holds something else than a store.
        :raises StoreChangeUnfinished: an operator's change was cut short.
        """
        previous.check_whole(store.volume)
        asked = previous.waits_for_reset(store.volume)
        reset = reset or asked
        known = FLASH_SIZE_KEY in store.volume.metadata
        # Asked before the volume is opened: what fails in it is not ours.
        firmware_for_it = template() if reset or not known else None
        with self._opened(store) as volume:
            if not reset and seed.is_seeded(volume):
                return self._read(store, volume, firmware_for_it)
            if firmware_for_it is None:
                raise exception.StoreImageInvalid(
                    reason='the store that it once held is gone')
            content = self._seed(store, volume, file,
                                 brought() if file is None else None,
                                 *firmware_for_it)
        if asked:
            # Before the guest can write what another reset would lose.
            self._volumes.note(store.volume,
                               {previous.RESET_KEY: str(False)})
        return content

    def _read(self, store: hosting.ConnectedStore, volume: access.VolumeBytes,
              unnoted: tuple[firmware.Descriptor, bool] | None) -> Content:
        reader = qcow2.Qcow2Reader(volume.read_at)
        flash = _flash(reader)
        variables = _understood(flash, store.owner)
        if variables is not None and variables.erased:
            LOG.warning('The host went down while the firmware rewrote the '
                        'variable store; finishing that from the copy.',
                        instance_uuid=store.owner.uuid)
            finish_rewrite(flash, reader, volume)
        made_for = {}
        if unnoted is not None:
            # Seeded by a process that died before it could note the rest.
            made_for = _facts(self._seeds.seed_for(
                unnoted[0].template, unnoted[0].template_format), *unnoted)
        made_for |= self._shrink(store, reader, volume)
        return Content(reader.virtual_size, variables, made_for, new=False)

    @contextlib.contextmanager
    def _opened(self, store: hosting.ConnectedStore):
        try:
            with self._host_side.open(
                    store.attachment.connection_info) as volume:
                yield volume
        except exception.ArmVMError:
            raise
        except Exception as error:
            raise exception.StoreReadFailed(
                volume_id=store.volume.id) from error

    def _seed(self, store: hosting.ConnectedStore, volume: access.VolumeBytes,
              file: guest_xml.FlashFile | None,
              brought: image_template.StoreTemplate | None,
              descriptor: firmware.Descriptor, secure_boot: bool) -> Content:
        """Begin with a template, or with what the stock driver had."""
        try:
            new = self._seeds.seed_for(descriptor.template,
                                       descriptor.template_format)
            variables = varstore.parse(b'')
            if brought is not None:
                _check_same(store, brought)
                new, variables = image_template.applied(brought, new)
            elif file is not None:
                new = self._taken_over(new, file)
            seed.write(new, volume)
        except exception.ArmVMError:
            raise
        except Exception as error:
            failed = (exception.StoreSeedFailed if file is None else
                      exception.StoreTakeOverFailed)
            raise failed(volume_id=store.volume.id) from error
        LOG.info('Volume %(volume)s was seeded from %(origin)s',
                 {'volume': store.volume.id,
                  'origin': _origin(descriptor, file, brought)},
                 instance_uuid=store.owner.uuid)
        if file is not None:
            variables = _understood(_flash(qcow2.Qcow2Reader(volume.read_at)),
                                    store.owner)
        return Content(new.flash_size, variables,
                       _facts(new, descriptor, secure_boot) |
                       _image_facts(store.volume, brought), new=True)

    def _taken_over(self, template: seed.Seed,
                    file: guest_xml.FlashFile) -> seed.Seed:
        """Return a seed with a file's content for a template's firmware.

        :raises FirmwareMismatch: the file is of another size.
        """
        content = privileged.read_range(file.path, 0,
                                        privileged.READ_MAX_BYTES)
        taken = self._seeds.seed_from(content, file.format)
        if taken.flash_size != template.flash_size:
            raise exception.FirmwareMismatch(
                stored=f'{taken.flash_size} bytes of flash',
                offered=f'{template.flash_size}')
        return dataclasses.replace(taken, checksum=template.checksum)

    def check_fits(self, store: hosting.ConnectedStore, content: Content,
                   descriptor: firmware.Descriptor,
                   secure_boot: bool) -> None:
        """Refuse a firmware that a store was not made for.

        :raises FirmwareMismatch: flash of another size, or Secure Boot
            switched.
        """
        offered = self._seeds.flash_size(descriptor.template,
                                         descriptor.template_format)
        if offered != content.flash_size:
            raise exception.FirmwareMismatch(
                stored=f'{content.flash_size} bytes of flash',
                offered=f'{offered}')
        stored = store.volume.metadata.get(SECURE_BOOT_KEY)
        if stored is not None and stored != str(secure_boot):
            words = {True: 'Secure Boot', False: 'Secure Boot switched off'}
            raise exception.FirmwareMismatch(
                stored=words[stored == str(True)],
                offered=words[secure_boot])

    def arrived(self, store: hosting.ConnectedStore) -> None:
        """Give back what the destination of a live migration has filled.

        QEMU writes the whole flash there (QEMU 10.0), most of it zeros. Where
        that cannot be undone while the guest runs, its next start does.

        :raises StoreError: the volume could not be opened or noted.
        """
        with self._opened(store) as volume:
            if volume.frees_in_use:
                volume.free_zeros(
                    qcow2.Qcow2Reader(volume.read_at).virtual_size)
                return
        self._volumes.note(store.volume, {SWOLLEN_KEY: str(True)})

    def _shrink(self, store: hosting.ConnectedStore,
                reader: qcow2.Qcow2Reader,
                volume: access.VolumeBytes) -> dict[str, str]:
        """Do what arrived() left to the next start.

        :returns: facts to be noted.
        """
        if store.volume.metadata.get(SWOLLEN_KEY) != str(True):
            return {}
        try:
            volume.free_zeros(reader.virtual_size)
        except (OSError, processutils.ProcessExecutionError) as error:
            LOG.warning('The space that a live migration has filled on '
                        'volume %(volume)s cannot be given back: %(error)s',
                        {'volume': store.volume.id, 'error': error},
                        instance_uuid=store.owner.uuid)
        return {SWOLLEN_KEY: str(False)}

    def note(self, store: hosting.ConnectedStore,
             facts: dict[str, str]) -> None:
        """Keep facts about a store with its volume."""
        self._volumes.note(store.volume, facts)

    def started(self, store: hosting.ConnectedStore) -> None:
        """Give up what an operator's change had kept: the guest runs."""
        self._previous.drop(store.volume)


def _flash(reader: qcow2.Qcow2Reader) -> bytes:
    """Return the part of the flash in which the variables are."""
    return reader.read(0, min(reader.virtual_size, varstore.READ_SIZE))


def finish_rewrite(flash: bytes, reader: qcow2.Qcow2Reader,
                   volume: access.VolumeBytes) -> None:
    """Finish the rewrite of a store that was cut short after it was erased.

    AAVMF formats such a store at its next start although the copy that it
    made is complete (tried with 2022.11), and everything would be lost.
    Written backwards: until the volume header comes, last of all, the store
    counts as erased and the copy as what it is.

    :param flash: as read, from a store that is erased.
    :param reader: of the same volume.
    :param volume: not in use by a guest.
    """
    whole = varstore.settled(flash)
    for start, place, length in reversed(reader.places(ftw.BLOCK_SIZE)):
        volume.write_at(place, whole[start:start + length])
        volume.flush()


def _facts(made: seed.Seed, descriptor: firmware.Descriptor,
           secure_boot: bool) -> dict[str, str]:
    """Return what a volume remembers of the firmware."""
    return {FLASH_SIZE_KEY: str(made.flash_size),
            DESCRIPTOR_KEY: descriptor.name,
            TEMPLATE_KEY: made.checksum,
            SECURE_BOOT_KEY: str(secure_boot)}


def _image_facts(volume: cinder_volume.Volume,
                 brought: image_template.StoreTemplate | None
                 ) -> dict[str, str]:
    """Return what a volume remembers of an image with variables."""
    if brought is not None:
        return {IMAGE_KEY: brought.image_id,
                IMAGE_CHECKSUM_KEY: brought.checksum}
    # Of an image that the server was rebuilt from before.
    return {key: '' for key in (IMAGE_KEY, IMAGE_CHECKSUM_KEY)
            if key in volume.metadata}


def _origin(descriptor: firmware.Descriptor,
            file: guest_xml.FlashFile | None,
            brought: image_template.StoreTemplate | None) -> str:
    """Say what a store began with."""
    if file is not None:
        return f'the file {file.path}'
    of_firmware = f'firmware {descriptor.name}'
    if brought is None:
        return of_firmware
    return (f'{of_firmware} with the {len(brought.variables)} variables of '
            f'image {brought.image_id}')


def _check_same(store: hosting.ConnectedStore,
                brought: image_template.StoreTemplate) -> None:
    """Refuse an image that is not what it was when the store began with it.

    Glance never changes the content of an image, but an id can be used
    again once the image is gone.

    :raises TemplateUnusable: it is another.
    """
    known = store.volume.metadata
    if (known.get(IMAGE_KEY) == brought.image_id and
            known.get(IMAGE_CHECKSUM_KEY) != brought.checksum):
        raise image_template.unusable(
            brought.image_id, 'its content is not what it was when the '
            'server first started')


def _understood(flash: bytes,
                owner: cinder_volume.Owner) -> varstore.VariableStore | None:
    """Read the variables, for what the driver decides by them.

    A guest can write anything into its store, and what the firmware makes of
    it is between the two, as on real hardware: no reason not to start.
    """
    try:
        return varstore.parse(flash)
    except exception.VariableStoreInvalid as error:
        LOG.warning('%s It is left as it is.', error,
                    instance_uuid=owner.uuid)
        return None
