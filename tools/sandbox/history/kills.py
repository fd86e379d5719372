# SPDX-License-Identifier: Apache-2.0
"""What is killed while guests write."""
from collections.abc import Callable
import contextlib
import dataclasses
import os
import signal

from tools.sandbox import config
from tools.sandbox.faults import breaking
from tools.sandbox import hosts
from tools.sandbox import process

Scene = breaking.Scene


@dataclasses.dataclass(frozen=True)
class Kind:
    """Something that can be killed.

    :ivar away: for how many seconds; one of them is chosen.
    :ivar patience: seconds without a change after which an operation is stuck
        when everything is back.
    """

    strike: Callable[[Scene], None]
    heal: Callable[[Scene], None]
    away: tuple[int, ...] = (0,)
    patience: float = 75


def _of(fault: str, *away: int) -> Kind:
    known = breaking.FAULTS[fault]
    return Kind(known.strike, known.heal, away or (int(known.seconds),))


def _end_guests(scene: Scene) -> None:
    """End QEMU as its host does when it is shut down."""
    for host in map(hosts.ComputeHost, scene.hosts):
        for server_id in scene.servers:
            with contextlib.suppress(process.SandboxError, OSError):
                # It may just not run.
                os.kill(host.qemu_pid(server_id), signal.SIGTERM)


def _signal_flash_services(sign: int) -> Callable[[Scene], None]:
    def send(scene: Scene) -> None:
        for host in scene.hosts:
            hosts.ComputeHost(host).flash_service().send(sign)
    return send


def _lose_power(scene: Scene) -> None:
    for host in scene.hosts:
        hosts.ComputeHost(host).kill()


def _give_power(scene: Scene) -> None:
    for host in scene.hosts:
        hosts.ComputeHost(host).start()


KILLS: dict[str, Kind] = {
    'qemu-killed': _of('qemu-killed'),
    'qemu-ended': Kind(_end_guests, lambda scene: None),
    'nova-compute-killed': _of('nova-compute-killed', 2, 20),
    'libvirtd-restarted': _of('libvirtd-restarted'),
    'flash-service-killed': _of('flash-service-killed', 0, 5),
    'flash-service-stopped': _of('flash-service-stopped', 5, 60),
    'flash-service-frozen': Kind(_signal_flash_services(signal.SIGSTOP),
                                 _signal_flash_services(signal.SIGCONT),
                                 (5, 60)),
    'power-lost': Kind(_lose_power, _give_power, (5, 30)),
}


def scene(host: config.Host, server_id: str) -> Scene:
    """Return where something is killed that a server needs."""
    return Scene([host], [server_id])
