# SPDX-License-Identifier: Apache-2.0
"""Where the sandbox keeps things, and on which ports its parts listen."""
import dataclasses
import json
import os
import pathlib
import secrets
import uuid

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
STATE = pathlib.Path(os.environ.get('ARMVM_SANDBOX',
                                    '/var/lib/armvm-sandbox'))
VENV = STATE / 'venv'
BIN = VENV / 'bin'
LOGS = STATE / 'logs'
RUN = STATE / 'run'
ETC = STATE / 'etc'
CEPH_ETC = ETC / 'ceph'

REGION = 'sandbox'
#: An ordinary user and its project; both have this name.
TENANT = 'tenant'

#: Added to every port, so that a second sandbox (with a state directory of
#: its own) can run beside the first. Not above 3000: from 32768 on they are
#: among those that the kernel gives to clients.
_SHIFT = int(os.environ.get('ARMVM_SANDBOX_PORT_SHIFT', '0'))

#: The sandbox's network, of the block that RFC 2544 sets aside for tests of
#: devices: nobody else's. It ends at a bridge on this machine.
_NETWORK = f'198.18.{_SHIFT // 100}'
BRIDGE = f'armvm{_SHIFT // 100}'
#: Of the bridge; all services but those of compute hosts listen here.
ADDRESS = f'{_NETWORK}.1'

PORTS = {name: port + _SHIFT for name, port in {
    'mariadb': 23306,
    'rabbitmq': 25672,
    'rabbitmq-dist': 25673,
    'epmd': 24369,
    'memcached': 21211,
    'ceph-mon-v2': 23300,
    'ceph-mon-v1': 26789,
    'keystone': 25000,
    'glance': 29292,
    'placement': 28778,
    'neutron': 29696,
    'cinder': 28776,
    'nova': 28774,
    'ssh': 22022,
    'libvirt': 26509,
}.items()}

VOLUME_TYPE = 'armvm-nvram'
BACKEND = 'ceph'
#: The same on kernel block devices; see tools.sandbox.loop_driver.
BLOCK_VOLUME_TYPE = 'armvm-nvram-block'
BLOCK_BACKEND = 'loop'
LOOPS = STATE / 'loop'
#: Where Glance keeps the images.
IMAGES = STATE / 'glance' / 'images'
POOL = 'volumes'
#: Neutron's driver for ports, see port_driver.py.
PORT_DRIVER = 'armvm_sandbox'


@dataclasses.dataclass(frozen=True)
class Host:
    """A compute host: own libvirtd and nova-compute in own namespaces.

    :ivar name: host name in its UTS namespace, and ``host`` of nova.conf.
    :ivar driver: value of ``compute_driver``.
    :ivar zone: its availability zone.
    :ivar number: tells its address from those of other hosts.
    :ivar post_copy: live migrations from it may go on in post-copy mode.
    """

    name: str
    driver: str
    zone: str
    number: int
    post_copy: bool = False

    @property
    def directory(self) -> pathlib.Path:
        return STATE / 'hosts' / self.name

    @property
    def state_path(self) -> pathlib.Path:
        """Nova's directory on this host, as seen from outside of it."""
        return self.directory / 'nova'

    @property
    def address(self) -> str:
        """The address on which its libvirt, QEMU and sshd listen."""
        return f'{_NETWORK}.{self.number}'


#: In the environment: nova-compute is to be one that can be stopped at each
#: step of the driver; see tools.sandbox.faults.
STEPS_VARIABLE = 'ARMVM_SANDBOX_STEPS'

#: Nova's directory on every compute host: the same path, because Nova copies
#: a server's disks from host to host by path.
HOST_STATE = STATE / 'compute'

_OURS = 'armvm.ArmVMLibvirtDriver'
ARMVM = Host('armvm-1', _OURS, 'armvm', 11, post_copy=True)
ARMVM_2 = Host('armvm-2', _OURS, 'armvm', 12)
STOCK = Host('stock-1', 'libvirt.LibvirtDriver', 'stock', 21)
HOSTS = (ARMVM, ARMVM_2, STOCK)


def url(service: str, path: str = '') -> str:
    """Return the address of a service of ours."""
    return f'http://{ADDRESS}:{PORTS[service]}{path}'


def credentials() -> dict[str, str]:
    """Return this sandbox's secrets and ids, made at the first call.

    :returns: ``password`` for everything, ``ceph_fsid`` and ``ceph_secret``
        (the uuid of libvirt's secret).
    """
    path = STATE / 'credentials.json'
    if not path.exists():
        STATE.mkdir(parents=True, exist_ok=True)
        made = {'password': secrets.token_hex(12),
                'ceph_fsid': str(uuid.uuid4()),
                'ceph_secret': str(uuid.uuid4())}
        with open(path, 'x', opener=lambda name, flags: os.open(
                name, flags, 0o600)) as stream:
            json.dump(made, stream)
    return json.loads(path.read_text())
