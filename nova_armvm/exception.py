# SPDX-License-Identifier: Apache-2.0
"""The one error family of nova_armvm.

Every message is shown to a tenant as the server's fault, so it says what
failed in words that can be passed on to an operator, and holds no path, no
address and no secret; what an operator needs beyond that is in the chained
cause and in the log.
"""
import typing as ty


class ArmVMError(Exception):
    """Base of all errors; subclasses give ``msg_fmt`` with named fields."""

    msg_fmt = 'An error of the ARM virtual machine driver occurred.'

    def __init__(self, **kwargs: ty.Any) -> None:
        self.kwargs = kwargs
        super().__init__(self.msg_fmt % kwargs)

    def format_message(self) -> str:
        """Return the message; Nova asks for it when it records a fault."""
        return str(self)


# What an image or flavor asks for

class PropertyInvalid(ArmVMError):
    msg_fmt = ('The %(where)s gives %(name)s the value "%(value)s"; allowed '
               'are: %(allowed)s.')


class PropertyUnknown(ArmVMError):
    msg_fmt = ('The %(where)s has the property %(name)s, which this cloud '
               'does not know; known are: %(known)s.')


class PropertyConflict(ArmVMError):
    msg_fmt = ('The image asks for %(image_name)s=%(image_value)s and the '
               'flavor for %(flavor_name)s=%(flavor_value)s; make them agree '
               'or remove one of them.')


class PropertyUnmet(ArmVMError):
    msg_fmt = ('%(name)s=%(value)s was asked for, but %(reason)s.')


class HardwareNotOffered(ArmVMError):
    msg_fmt = ('%(name)s=%(value)s was asked for, but this compute host '
               'offers: %(offered)s.')


# The host

class HostNotReady(ArmVMError):
    msg_fmt = ('This host cannot keep UEFI variables on Cinder volumes. '
               '%(problems)s')


class FirmwareUnknown(ArmVMError):
    msg_fmt = ('The firmware that the compute host chose for this server '
               'comes without a variable template (no firmware descriptor '
               'names one); an operator has to install one.')


class FirmwareMismatch(ArmVMError):
    msg_fmt = ('The UEFI variables of this server were made for a firmware '
               'with %(stored)s, but the firmware of this compute host has '
               '%(offered)s. The server was not started, its variables are '
               'unchanged; it needs a host with a fitting firmware.')


# The volume

class StoreError(ArmVMError):
    """Something about the volume that holds the variables."""


class StoreUnreachable(StoreError):
    msg_fmt = ('The block storage service (Cinder) could not be reached to '
               '%(action)s for the UEFI variables of this server.')


class StoreRefused(StoreError):
    msg_fmt = ('The block storage service (Cinder) refused to %(action)s for '
               'the UEFI variables of this server.')


class StoreQuotaExceeded(StoreError):
    msg_fmt = ('The service project that keeps UEFI variables has reached '
               'its block storage quota, so no volume could be made for this '
               'server; an operator has to raise the quota.')


class StoreVolumeFailed(StoreError):
    msg_fmt = ('The volume for the UEFI variables of this server went to '
               'status "%(status)s"; an operator has to look at volume '
               '%(volume_id)s.')


class StoreVolumeTimeout(StoreError):
    msg_fmt = ('The volume for the UEFI variables of this server was not '
               'available after %(seconds)d seconds (volume %(volume_id)s, '
               'status "%(status)s").')


class StoreVolumeMissing(StoreError):
    msg_fmt = ('The volume with the UEFI variables of this server is '
               'missing. The server was not started, and no empty store was '
               'made in its place; an operator has to find or restore the '
               'volume "%(name)s".')


class StoreVolumeAmbiguous(StoreError):
    msg_fmt = ('More than one volume claims to hold the UEFI variables of '
               'this server (%(volume_ids)s); an operator has to decide.')


class StoreVolumeBusy(StoreError):
    msg_fmt = ('The volume with the UEFI variables of this server cannot be '
               'attached now (volume %(volume_id)s is in status '
               '"%(status)s").')


class StoreVolumeUnsuitable(StoreError):
    msg_fmt = ('The volume for the UEFI variables of this server cannot be '
               'used: %(reason)s.')


class StoreAttachFailed(StoreError):
    msg_fmt = ('The volume with the UEFI variables of this server could not '
               'be attached to the compute host (volume %(volume_id)s).')


class StoreConnectFailed(StoreError):
    msg_fmt = ('The compute host could not connect the volume with the UEFI '
               'variables of this server (volume %(volume_id)s).')


class FlashServiceUnavailable(StoreError):
    msg_fmt = ('The flash service of the compute host does not answer, so '
               'the UEFI variables cannot be served. An operator has to '
               'start armvm-nvramd there.')


class FlashServiceFailed(StoreError):
    msg_fmt = ('The flash service of the compute host refused the UEFI '
               'variables of this server (volume %(volume_id)s). The log of '
               'armvm-nvramd has the reason.')


class StoreClaimed(StoreError):
    msg_fmt = ('Another compute host has claimed the UEFI variables of this '
               'server (volume %(volume_id)s), so nothing was written. '
               'Start the server again.')


class StoreOfOldForm(StoreError):
    msg_fmt = ('The UEFI variables of this server are in the form of an '
               'earlier release (volume %(volume_id)s), which cannot be live '
               'migrated. Hard reboot the server first.')


class StoreSeedFailed(StoreError):
    msg_fmt = ('The firmware\'s variable template could not be written to '
               'the volume for the UEFI variables of this server (volume '
               '%(volume_id)s).')


class StoreTakeOverFailed(StoreError):
    msg_fmt = ('The UEFI variables that this server has had on its compute '
               'host could not be brought onto their volume (volume '
               '%(volume_id)s). The server was not started, its variables '
               'are unchanged.')


class StoreReadFailed(StoreError):
    msg_fmt = ('The UEFI variables of this server could not be read from '
               'their volume (volume %(volume_id)s).')


class StoreSnapshotInTheWay(StoreError):
    msg_fmt = ('A change by an earlier release has left a snapshot of the '
               'UEFI variables of server %(server)s, and Cinder moves no '
               'volume that has one. Start the server once.')


class StoreRetypeFailed(StoreError):
    msg_fmt = ('Cinder did not move the volume %(volume_id)s to the type '
               '%(type)s (it is %(status)s); its log has the reason. The '
               'UEFI variables are where they were.')


class StoreRetypeSlow(StoreError):
    msg_fmt = ('Cinder is still moving the volume %(volume_id)s to the type '
               '%(type)s (it is %(status)s). The server does not start '
               'before it is done; its next start attaches the volume.')


class VolumeTypeUnsuitable(StoreError):
    msg_fmt = 'Nothing was moved. %(problems)s'


class StoreNothingKept(StoreError):
    msg_fmt = ('There is no change to be taken back: what the UEFI variables '
               'of server %(server)s hold was not written by an operator. '
               'See "armvm-manage nvram history" and "restore".')


class StoreChangeUnfinished(StoreError):
    msg_fmt = ('A change of the UEFI variables of this server was cut short '
               '(volume %(volume_id)s). An operator has to "reset" them or '
               '"import" a whole flash ("armvm-manage nvram").')


class StoreChangedMeanwhile(StoreError):
    msg_fmt = ('The UEFI variables of server %(server)s were changed by '
               'somebody else meanwhile, so nothing was written. Look at '
               'them again, then repeat this.')


class StoreResetWaiting(StoreError):
    msg_fmt = ('The next start of server %(server)s begins with its '
               'template, so a change would be lost. Start the server once, '
               'or take the reset back ("armvm-manage nvram undo").')


# What lies on the volume

class StoreImageInvalid(StoreError):
    msg_fmt = ('The volume with the UEFI variables of this server does not '
               'hold a usable store image: %(reason)s.')


class VariableStoreInvalid(StoreError):
    msg_fmt = 'The UEFI variable store is invalid: %(reason)s.'


class VariableStoreFull(StoreError):
    msg_fmt = ('There is no room for the UEFI variable %(name)s: it needs '
               '%(size)d bytes and %(free)d are free.')


class VariableInvalid(StoreError):
    msg_fmt = 'The UEFI variable "%(name)s" cannot be written: %(reason)s.'


class VariableFileInvalid(StoreError):
    msg_fmt = ('The file with UEFI variables cannot be used as %(kind)s: '
               '%(reason)s.')


# An image that brings variables along

class TemplateUnusable(ArmVMError):
    # Short: Nova cuts a fault at 255 characters.
    msg_fmt = ('Image %(image_id)s, named by hw_armvm_nvram_template, is '
               'unusable: %(reason)s.')


class TemplateUnreachable(ArmVMError):
    msg_fmt = ('Image %(image_id)s, named by hw_armvm_nvram_template, could '
               'not be read from the image service (Glance).')


# The guest

class GuestRefused(ArmVMError):
    msg_fmt = ('The hypervisor of the compute host refused to start the '
               'server; the compute service\'s log has the reason.')


class GuestBootOrderStuck(ArmVMError):
    msg_fmt = ('The hypervisor did not let the server\'s boot order be left '
               'to the guest; the server was not started.')


# Images

class ImageError(ArmVMError):
    """An image that nothing can be said of."""


class ImageUnsupported(ImageError):
    msg_fmt = 'The image cannot be looked into: %(reason)s.'


class ImageInvalid(ImageError):
    msg_fmt = 'The image is broken: %(reason)s.'


class ImageTooCostly(ImageError):
    msg_fmt = ('More than the %(limit)d KiB that are allowed would have to be '
               'read from the image to judge it.')


class ImageUndecided(ImageError):
    msg_fmt = ('The image can be started in %(states)s: say which one is '
               'meant (--property execution_state=...).')


class TagConflict(ArmVMError):
    msg_fmt = ('The image has %(name)s=%(present)s, which is not '
               '%(wanted)s. Nothing was changed; see --force.')


class ImageNotCompliant(ImageError):
    msg_fmt = ('The image does not comply with the ARM VM specification: '
               '%(findings)s.')


# Operators' commands

class PackageMissing(ArmVMError):
    msg_fmt = ('The Python package %(package)s is needed for %(purpose)s and '
               'not installed here (pip install %(package)s).')


class CloudUnreachable(ArmVMError):
    msg_fmt = ('%(service)s did not give a complete answer, so nothing can be '
               'concluded and nothing was removed; see --debug.')


class ServerNotFound(ArmVMError):
    msg_fmt = ('There is %(count)s server "%(server)s"; give the uuid of one '
               'that there is.')


class ServerNotOff(ArmVMError):
    msg_fmt = ('Server %(server)s is %(state)s, so its guest may be using '
               'its UEFI variables. Stop it first.')


class ServerLocked(ArmVMError):
    msg_fmt = ('Server %(server)s is locked (%(reason)s). Nobody but this '
               'command may hold it while its UEFI variables are changed. '
               'If it is another "armvm-manage" that still runs, wait for '
               'it. If not, unlock the server ("openstack server unlock") '
               'and repeat this.')


class ServerStateUnknown(ArmVMError):
    msg_fmt = ('Nova does not say what server %(server)s is doing (its cell '
               'may be down), so its UEFI variables are left alone.')


class StoreNotOpened(ArmVMError):
    msg_fmt = ('The volume %(volume_id)s with the UEFI variables cannot be '
               'used on this host: %(reason)s. Run this as a user who may '
               'connect volumes, like root; see --debug.')


class ServerElsewhere(ArmVMError):
    msg_fmt = ('Server %(server)s runs on host %(host)s, and its variables '
               'can be read only there while it does. Run this there, or '
               'stop the server.')


class ServerWithoutStore(ArmVMError):
    msg_fmt = ('Server %(server)s has no volume with UEFI variables: they '
               'are volatile, or it never ran.')


class StoreNotInService(ArmVMError):
    msg_fmt = ('The flash service of this host does not have the UEFI '
               'variables of server %(server)s: its guest was started before '
               'there was one. Hard reboot the server, or stop it.')


class ServerNotRunning(ArmVMError):
    msg_fmt = ('Server %(server)s does not run, so QEMU has no flash that '
               'could be compared.')


class FlashUnsettled(ArmVMError):
    msg_fmt = ('The flash in QEMU did not stay the same between two looks, '
               'because the guest was writing to it. Repeat this.')


class NoSuchVersion(ArmVMError):
    msg_fmt = ('There is no version %(version)d of the UEFI variables of '
               'server %(server)s; "armvm-manage nvram history" shows those '
               'that there are.')


class VersionUnfit(ArmVMError):
    msg_fmt = ('Version %(version)d of the UEFI variables of server '
               '%(server)s is for %(found)d bytes of flash, and the server\'s '
               'firmware has %(wanted)d.')


class FileUnusable(ArmVMError):
    msg_fmt = '%(path)s cannot be used: %(reason)s.'


class NoSuchVariable(ArmVMError):
    msg_fmt = ('There is no UEFI variable %(name)s of vendor %(guid)s in '
               'this store.')


class NoSuchBootOption(ArmVMError):
    msg_fmt = ('There is no boot option %(option)s in this store; there are: '
               '%(known)s.')


class FlashMismatch(ArmVMError):
    msg_fmt = ('The file holds %(found)d bytes of flash, and the server\'s '
               'firmware has %(wanted)d.')


class HypervisorUnreachable(ArmVMError):
    msg_fmt = ('libvirt cannot be asked at %(uri)s: %(reason)s. Run this on a '
               'compute host, as a user who may use libvirt.')


class AuditTooMany(ArmVMError):
    msg_fmt = ('%(found)d volumes seem to be left over, more than the '
               '%(limit)d that may be deleted in one run. Nothing was '
               'deleted. Make sure that this is the right cloud and region '
               '([cinder] os_region_name), then repeat it with --at-most.')
