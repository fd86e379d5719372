# SPDX-License-Identifier: Apache-2.0
"""Wait until the compute hosts can be scheduled to. Runs in the venv."""
import datetime

from tools.sandbox import config
from tools.sandbox import process
from tools.sandbox import resources
from tools.sandbox import services

_LIMIT = 120


#: Those without which no compute host comes up.
_NEEDED = ('nova-conductor', 'nova-scheduler', 'cinder-volume')


def _up(cloud, wanted: set[str], forced_down: bool) -> set[str]:
    process.require_running(
        [*_NEEDED, *(f'{name}-nova-compute' for name in sorted(wanted))])
    return {service.host for service in cloud.compute.services()
            if service.binary == 'nova-compute' and service.host in wanted
            and _of_this_process(service)
            and (service.state == 'up' or forced_down)}


def wait_for(cloud, wanted: set[str], forced_down: bool = False) -> None:
    """Wait until compute hosts are up.

    :param cloud: an administrator's connection.
    :param wanted: their names.
    :param forced_down: a sign of life is enough; an operator has told Nova
        to take them for down.
    """
    logs = config.LOGS / f'{min(wanted)}-nova-compute.log'
    process.wait_for(lambda: wanted <= _up(cloud, wanted, forced_down),
                     _LIMIT, f'nova-compute on {", ".join(sorted(wanted))}',
                     logs, pause=0.5)


def _of_this_process(service) -> bool:
    """Tell a sign of life from one of the process before a restart.

    Nova takes a service that was ended for up for another minute.
    """
    if service.updated_at is None:
        # New, and not heard of since.
        return False
    seen = datetime.datetime.fromisoformat(service.updated_at).replace(
        tzinfo=datetime.timezone.utc)
    record = config.RUN / f'{service.host}-nova-compute.json'
    return seen.timestamp() > record.stat().st_mtime


def _let_work(cloud, wanted: set[str]) -> None:
    """Take back what an operator has told Nova of hosts that are up.

    A run that was cut short may have left one forced down, which keeps it
    down for ever, or disabled, so that no server moves to it. Nova 34 refuses
    to take the first back before nova-compute has cleaned up after an
    evacuation, which it has done when it gives its first sign of life.
    """
    for service in list(cloud.compute.services(binary='nova-compute')):
        if service.host not in wanted:
            continue
        if service.is_forced_down:
            cloud.compute.update_service_forced_down(
                service, service.host, service.binary, False)
        if service.status == 'disabled':
            cloud.compute.enable_service(service, service.host,
                                         service.binary)


def main() -> None:
    """Wait for the services, map the hosts, make their zones."""
    cloud = resources.connect()
    # The first question after a start must not be for ports: Neutron 29
    # fails it, because SQLAlchemy has not set up what it asks for.
    list(cloud.network.networks())
    wanted = {host.name for host in config.HOSTS}
    wait_for(cloud, wanted, forced_down=True)
    _let_work(cloud, wanted)
    wait_for(cloud, wanted)
    mapped = {hypervisor.name
              for hypervisor in cloud.compute.hypervisors()}
    if not wanted <= mapped:
        services.discover_hosts()
    resources.make_zones()


if __name__ == '__main__':
    main()
