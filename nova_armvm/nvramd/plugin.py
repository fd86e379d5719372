# SPDX-License-Identifier: Apache-2.0
"""The NBD side, run by nbdkit's Python plugin (API version 2).

nbdkit calls the functions of this file by their names. Each connection has a
thread of its own, which does one request after the other. Everything it is
told to stop by is a signal, and it dies of that without an answer to requests
that are under way: QEMU repeats them to the next service, while an error
would be taken for a success by the guest.
"""
from collections.abc import Iterator
import contextlib
import ctypes
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
import typing as ty

import nbdkit

try:
    from nova_armvm.host import flash_protocol
    from nova_armvm.nvramd import control
    from nova_armvm.nvramd import errors
    from nova_armvm.nvramd import export
    from nova_armvm.nvramd import gate
    from nova_armvm.nvramd import logs
    from nova_armvm.nvramd import service
except ImportError as failure:
    print('armvm-nvramd: the Python of nbdkit '
          f'({sys.version_info[0]}.{sys.version_info[1]}) cannot import '
          f'"{failure.name}": install it for that Python (Debian: '
          f'python3-{failure.name})', file=sys.stderr, flush=True)
    os._exit(1)

LOG = logging.getLogger(__name__)

API_VERSION = 2
#: What QEMU may ask for at a time: a live migration writes 64 MiB.
_BLOCKS = (1, 4096, 256 * 1024)
#: Of prctl(2).
_PR_SET_PDEATHSIG = 1
#: Seconds to close the volumes in; what is left open Ceph holds for longer.
_CLOSE_TIMEOUT = 5.0
#: Seconds by which each refusal takes longer than the one before.
_DELAY, _DELAY_MAX = 0.05, 1.0


class Host:
    """The service of this process."""

    def __init__(self) -> None:
        self.options: dict[str, str] = {}
        self.stores: service.Service | None = None

    def start(self) -> None:
        """Serve what was served before, then listen to the driver.

        QEMU can connect already, and waits until this is done.
        """
        os.umask(0o077)
        logs.prepare(self.options.get('log_level', 'INFO'))
        directory = self.options['directory']
        _outlive_parent()
        self._end_on_signals()
        self._allow_group(os.path.join(directory, flash_protocol.NBD_SOCKET))
        self.stores = service.Service(directory, self.options['state'])
        self.stores.recover()
        control.Server(self.stores, directory).start()
        LOG.info('Started to listen in %s', directory)
        _notify('READY=1')

    def _allow_group(self, path: str) -> None:
        """Let QEMU connect, and nobody else who is not of its group."""
        if self.options.get('gid'):
            os.chown(path, -1, int(self.options['gid']))
        os.chmod(path, 0o660)

    def _end_on_signals(self) -> None:
        """Take signals over from nbdkit, which would finish requests first.

        The main thread is nbdkit's and runs no Python, so the signals come
        by way of a socket.
        """
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        for number in signal.SIGTERM, signal.SIGINT:
            signal.signal(number, lambda _number, _frame: None)
        threading.Thread(target=self._wait_for_end, args=(receiver, sender),
                         name='signals', daemon=True).start()

    def _wait_for_end(self, receiver: socket.socket,
                      _sender: socket.socket) -> None:
        # Python's other handlers, as that of child processes, write here too.
        while receiver.recv(1)[0] not in (signal.SIGTERM, signal.SIGINT):
            continue
        _notify('STOPPING=1')
        LOG.info('Stopped by a signal')
        if self.stores is not None:
            closing = threading.Thread(target=self.stores.abandon,
                                       daemon=True)
            closing.start()
            closing.join(_CLOSE_TIMEOUT)
        logging.shutdown()
        os._exit(0)


def _outlive_parent() -> None:
    """Take back that nbdkit asks the kernel to end it with its parent.

    nbdkit 1.32 does so in the foreground. Called in its main thread, which
    is the one that has asked.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, 0)


def _notify(message: str) -> None:
    """Tell systemd, if that has started the service."""
    address = os.environ.get('NOTIFY_SOCKET')
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode('ascii'), address.replace('@', '\0', 1)
                      if address.startswith('@') else address)


class _Nbdkit:
    """Functions of nbdkit that its Python module does not have."""

    def __init__(self) -> None:
        program = ctypes.CDLL(None)
        self._peer_pid = program.nbdkit_peer_pid
        self._peer_pid.restype = ctypes.c_int64
        self._sleep = program.nbdkit_nanosleep
        self._sleep.argtypes = (ctypes.c_uint, ctypes.c_uint)

    def peer_pid(self) -> int:
        """Return the process at the other end, 0 if it is not known."""
        return max(0, self._peer_pid())

    def is_connected(self) -> bool:
        """Return whether the client has not hung up."""
        return self._sleep(0, 1000) == 0


class Connection:
    """A connection of QEMU to a flash."""

    def __init__(self, served: export.Export, peer: gate.Peer) -> None:
        self.export = served
        self.peer = peer
        self._refusals = 0

    def waits(self) -> bool:
        """Return whether somebody waits for the answer."""
        return not self.peer.superseded and _NBDKIT.is_connected()

    @contextlib.contextmanager
    def request(self) -> Iterator[export.Export]:
        """Do a request, and tell QEMU the right error."""
        try:
            if self.peer.superseded:
                raise OSError(errno.ESHUTDOWN,
                              'another connection is in its place')
            yield self.export
        except OSError as error:
            # nbdkit logs each; a guest shall not fill the log with them.
            self._refusals += 1
            time.sleep(min(self._refusals * _DELAY, _DELAY_MAX))
            nbdkit.set_error(error.errno or errno.EIO)
            raise


_HOST = Host()
_NBDKIT = _Nbdkit()


# What nbdkit calls


def thread_model() -> int:
    return nbdkit.THREAD_MODEL_PARALLEL


def config(key: str, value: str) -> None:
    _HOST.options[key] = value


def after_fork() -> None:
    try:
        _HOST.start()
    except (OSError, errors.FlashError) as error:
        LOG.error('Failed to start: %s', error)
        logging.shutdown()
        os._exit(1)


def list_exports(_readonly: bool, _is_tls: bool) -> list[str]:
    # A guest's QEMU is none of another's business.
    return []


def open(_readonly: bool) -> Connection:
    try:
        served = _HOST.stores.export(nbdkit.export_name())
        peer = served.gate.enter(_NBDKIT.peer_pid())
    except errors.FlashError as error:
        LOG.warning('Refused a connection to "%.36s": %s',
                    nbdkit.export_name(), error)
        raise
    return Connection(served, peer)


def close(connection: Connection) -> None:
    connection.export.gate.leave(connection.peer)


def get_size(connection: Connection) -> int:
    return connection.export.flash_size


def block_size(_connection: Connection) -> tuple[int, int, int]:
    return _BLOCKS


def can_write(_connection: Connection) -> bool:
    return True


def can_flush(_connection: Connection) -> bool:
    return True


def can_fua(_connection: Connection) -> int:
    return nbdkit.FUA_NATIVE


def can_zero(_connection: Connection) -> bool:
    return True


def can_trim(_connection: Connection) -> bool:
    return False


def can_multi_conn(_connection: Connection) -> bool:
    return False


def can_extents(_connection: Connection) -> bool:
    return True


def pread(connection: Connection, buffer: ty.Any, offset: int,
          _flags: int) -> None:
    with connection.request() as served:
        buffer[:] = served.pread(offset, len(buffer))


def pwrite(connection: Connection, buffer: ty.Any, offset: int,
           _flags: int) -> None:
    with connection.request() as served:
        served.pwrite(offset, buffer, connection.waits)


def zero(connection: Connection, count: int, offset: int,
         _flags: int) -> None:
    with connection.request() as served:
        served.pzero(offset, count, connection.waits)


def flush(_connection: Connection, _flags: int) -> None:
    # What must be durable is so before its write is answered.
    return


def extents(connection: Connection, count: int, offset: int,
            _flags: int) -> list[tuple[int, int, int]]:
    hole = nbdkit.EXTENT_HOLE | nbdkit.EXTENT_ZERO
    with connection.request() as served:
        return [(start, length, hole if zeros else 0)
                for start, length, zeros in served.extents(offset, count)]
