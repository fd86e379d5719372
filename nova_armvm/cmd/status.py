# SPDX-License-Identifier: Apache-2.0
"""``armvm-status upgrade check``: whether a deployment is ready.

Run it where nova.conf is, on a controller or a compute host, before and
after an upgrade. Exit status, as oslo.upgradecheck documents it: 0 all is
well, 1 there are warnings, 2 something must be mended first, 255 it could
not be done.
"""
from collections.abc import Callable, Iterable
import functools
import os
import sys
import typing as ty

from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading
from nova import conf as nova_conf
from nova import exception as nova_exception
from oslo_config import cfg
from oslo_log import log as logging
from oslo_upgradecheck import upgradecheck
from oslo_utils import timeutils

from nova_armvm.cmd import compute
from nova_armvm.cmd import dialogue
from nova_armvm.cmd import hypervisor
from nova_armvm.cmd import logs
from nova_armvm.cmd import nvram_audit
from nova_armvm.cmd import volume_type
from nova_armvm import conf as armvm_conf
from nova_armvm import exception
from nova_armvm.profile import offers
from nova_armvm.store import audit
from nova_armvm.store import cinder
from nova_armvm.uefi import text
from nova_armvm.virt import host_offers
from nova_armvm.virt import preflight

Code = upgradecheck.Code
Check = Callable[['Checks'], upgradecheck.Result]

_DETAILS_MAX = 2000
#: Servers that are named; an operator has the audit for the rest.
_NAMED = 10
_UNREACHABLE = 255


def _is_ours(driver: str | None) -> bool:
    return (driver or '').endswith(preflight.DRIVER)


def _result(code: Code, *details: str) -> upgradecheck.Result:
    words = text.printable(' '.join(details), _DETAILS_MAX)
    return upgradecheck.Result(code, words or None)


def _judged(problems: Iterable[str],
            code: Code = Code.FAILURE) -> upgradecheck.Result:
    found = list(problems)
    return _result(code if found else Code.SUCCESS, *found)


def _answering(check: Check) -> Check:
    """Let a service that does not answer be a finding, not a crash.

    What it would have said is not known, so that is a warning.
    """
    @functools.wraps(check)
    def answered(checks: 'Checks') -> upgradecheck.Result:
        try:
            return check(checks)
        except (exception.StoreUnreachable, exception.CloudUnreachable,
                keystone_errors.ConnectFailure) as error:
            return _result(Code.WARNING, f'Not checked: {error}')
        except (exception.ArmVMError, keystone_errors.ClientException,
                nova_exception.NovaException) as error:
            return _result(Code.FAILURE, str(error))
    return answered


class Checks(upgradecheck.UpgradeCommands):
    """What has to be right around the driver, one method for each subject."""

    display_title = 'ARM servers: upgrade check results'

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Prepare; nothing is asked yet.

        :param conf: nova.conf, to be read by the time a check is run.
        """
        super().__init__()
        self._conf = conf

    def check(self) -> Code:
        """Make all checks, print what came of them; return the worst."""
        logging.setup(self._conf, 'armvm-status')
        return super().check()

    def _options(self) -> upgradecheck.Result:
        """Check that [armvm] can be read, and that its driver is used."""
        try:
            for option in armvm_conf.armvm_opts:
                getattr(self._conf.armvm, option.name)
        except cfg.Error as error:
            return _result(Code.FAILURE, f'nova.conf cannot be used: {error}')
        driver = self._conf.compute_driver
        if driver and not _is_ours(driver):
            return _result(
                Code.WARNING, f'compute_driver is {driver}: this host does '
                'not look after ARM servers\' variables. Set it to '
                f'{preflight.DRIVER}, or ignore this if that is meant.')
        return _result(Code.SUCCESS)

    @_answering
    def _credentials(self) -> upgradecheck.Result:
        """Check that [cinder] has credentials that may do all it takes."""
        if not self._conf.cinder.auth_type:
            return _judged(preflight.credentials_problems(self._conf))
        return self._login('cinder', {'admin', 'service'})

    @_answering
    def _service_token(self) -> upgradecheck.Result:
        """Check the token that volumes are detached with."""
        problems = list(preflight.token_problems(self._conf))
        return (_judged(problems) if problems
                else self._login('service_user', {'service'}))

    def _login(self, group: str, wanted: set[str]) -> upgradecheck.Result:
        """Log in as a group of options says; look at the roles."""
        try:
            auth = loading.load_auth_from_conf_options(self._conf, group)
            session = loading.load_session_from_conf_options(
                self._conf, group, auth=auth)
            roles = set(auth.get_access(session).role_names)
        except (keystone_errors.Unauthorized, keystone_errors.Forbidden,
                keystone_errors.MissingRequiredOptions,
                keystone_errors.NotFound) as error:
            return _result(
                Code.FAILURE, f'The credentials of [{group}] were refused: '
                f'correct them ({error}).')
        missing = sorted(wanted - roles)
        if missing:
            return _result(
                Code.FAILURE, f'The user of [{group}] lacks the role '
                f'"{", ".join(missing)}" in its project: grant it '
                '("openstack role add").')
        return _result(Code.SUCCESS)

    @_answering
    def _volume_type(self) -> upgradecheck.Result:
        """Check that volumes of the type can hold stores."""
        if not self._conf.cinder.auth_type:
            return _skipped('there are no credentials in [cinder].')
        storage = volume_type.look(self._conf)
        if storage.type_problems or self._conf.armvm.nvram_volume_type:
            return _judged(storage.type_problems)
        if not _is_ours(self._conf.compute_driver):
            return _result(Code.SUCCESS, '[armvm] nvram_volume_type is not '
                           'set here, so Cinder\'s default type was looked '
                           f'at ("{storage.name}").')
        return _result(
            Code.WARNING, '[armvm] nvram_volume_type is not set, so Cinder\'s '
            f'default type ("{storage.name}") holds the variables, whatever '
            'it is made to be one day. Name a type.')

    @_answering
    def _quota(self) -> upgradecheck.Result:
        """Check that more stores can be made."""
        if not self._conf.cinder.auth_type:
            return _skipped('there are no credentials in [cinder].')
        storage = volume_type.look(self._conf)
        if storage.quota_problems:
            return _judged(storage.quota_problems)
        left = storage.stores_left
        if left is not None and left < volume_type.FEW:
            return _result(
                Code.WARNING, f'The quota of the project of [cinder] has '
                f'room for {left} more stores: raise volumes and gigabytes '
                '("openstack quota set").')
        return _result(Code.SUCCESS)

    @_answering
    def _versions(self) -> upgradecheck.Result:
        """Check libvirt and QEMU, where they are."""
        try:
            with hypervisor.connected(self._conf) as connection:
                versions = hypervisor.Versions(connection)
                problems = list(preflight.software_problems(versions))
                machines = host_offers.ask(connection,
                                           self._conf.libvirt.virt_type)
        except exception.HypervisorUnreachable as error:
            return self._no_hypervisor(error)
        problems += preflight.machine_problems(offers.traits(machines))
        if problems:
            return _judged(problems)
        return _result(
            Code.SUCCESS, f'libvirt {hypervisor.words(versions.libvirt)}, '
            f'QEMU {hypervisor.words(versions.qemu)}')

    def _firmware(self) -> upgradecheck.Result:
        """Check the firmware, where libvirt is."""
        try:
            with hypervisor.connected(self._conf):
                return _judged(preflight.firmware_problems(self._conf))
        except exception.HypervisorUnreachable as error:
            return self._no_hypervisor(error)

    def _no_hypervisor(self, error: Exception) -> upgradecheck.Result:
        """Tell a controller from a compute host whose libvirt is away."""
        if _is_ours(self._conf.compute_driver):
            return _skipped(str(error))
        return _result(Code.SUCCESS, 'Not checked, because this is no '
                       f'compute host with this driver: {error}')

    def _flash_service(self) -> upgradecheck.Result:
        """Check that the flash service answers, where it has to be."""
        if not _is_ours(self._conf.compute_driver):
            return _result(Code.SUCCESS, 'Not checked, because this is no '
                           'compute host with this driver.')
        return _judged(preflight.service_problems(
            self._conf.armvm.nvramd_directory))

    @_answering
    def _stores(self) -> upgradecheck.Result:
        """Check that every server that needs a store has one."""
        if not self._conf.cinder.auth_type:
            return _skipped('there are no credentials in [cinder].')
        outcome = nvram_audit.look(
            cinder.StoreVolumes(self._conf.host, None,
                                cinder.Patience(limit=60, interval=5)),
            compute.Cloud.from_conf(self._conf), timeutils.utcnow(), 3600)
        wrong = [finding for finding in outcome.findings if finding.kind in (
            audit.Kind.NO_VOLUME, audit.Kind.SEVERAL_VOLUMES)]
        if wrong:
            servers = sorted({finding.instance for finding in wrong})
            more = (f' and {len(servers) - _NAMED} more'
                    if len(servers) > _NAMED else '')
            return _result(
                Code.FAILURE, 'These servers do not start, because their '
                'volume with UEFI variables is missing or is there more than '
                f'once: {", ".join(servers[:_NAMED])}{more}. See '
                '"armvm-manage nvram audit".')
        if outcome.findings:
            return _result(
                Code.WARNING, f'{len(outcome.findings)} volumes or '
                'attachments were left behind. See "armvm-manage nvram '
                'audit".')
        return _result(Code.SUCCESS)

    _upgrade_checks: ty.ClassVar = (
        ('Options', _options),
        ('Credentials', _credentials),
        ('Service token', _service_token),
        ('Volume type', _volume_type),
        ('Quota of the service project', _quota),
        ('libvirt and QEMU', _versions),
        ('Firmware', _firmware),
        ('Flash service', _flash_service),
        ('Stores of servers', _stores),
    )


def _skipped(reason: str) -> upgradecheck.Result:
    """Tell that a check was not made; what is there is not known."""
    return _result(Code.WARNING, f'Not checked: {reason}')


def main() -> int:
    """Do what the command line says; return the exit status."""
    conf = nova_conf.CONF
    armvm_conf.register_opts(conf)
    logs.prepare(conf)
    try:
        return upgradecheck.main(conf, 'nova', Checks(conf), sys.argv[1:])
    except (cfg.ConfigFilesNotFoundError,
            cfg.ConfigDirNotFoundError,
            cfg.ConfigFilesPermissionDeniedError,
            cfg.ConfigFileParseError) as error:
        dialogue.complain('armvm-status', error)
        return _UNREACHABLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREACHABLE


if __name__ == '__main__':
    sys.exit(main())
