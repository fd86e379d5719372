# SPDX-License-Identifier: Apache-2.0
"""Commands and daemons: started, found again after a crash, ended."""
from collections.abc import Callable, Mapping, Sequence
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time

from tools.sandbox import config
from tools.sandbox import progress

_TAIL_LINES = 25
_STOP_SECONDS = 20
#: In the environment of every daemon of ours and its children: its record.
_MARK = 'ARMVM_SANDBOX_DAEMON'


class SandboxError(Exception):
    """Something did not work; the message says what and where to look."""


def wait_for_other_runs() -> None:
    """Wait until no other run makes the sandbox, and keep others out.

    The lock is inherited by the commands of run() and so outlives a run that
    was killed while, say, its schema migration goes on.
    """
    config.STATE.mkdir(parents=True, exist_ok=True)
    handle = os.open(config.STATE / '.lock', os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(handle, True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress.say('waiting for the end of another run')
        fcntl.flock(handle, fcntl.LOCK_EX)


def run(*command: str | os.PathLike, log: str = 'setup',
        environment: Mapping[str, str] | None = None, stdin: str | None = None,
        cwd: str | os.PathLike | None = None) -> str:
    """Run a command to its end; its output goes to a log, too.

    :returns: standard output.
    :raises SandboxError: with the end of the output.
    """
    words = [os.fspath(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, input=stdin or '', cwd=cwd,
        # What is inheritable is the lock of wait_for_other_runs().
        close_fds=False,
        env={**os.environ, **(environment or {})})
    config.LOGS.mkdir(parents=True, exist_ok=True)
    with open(config.LOGS / f'{log}.log', 'a') as stream:
        stream.write(f'$ {" ".join(words)}\n{done.stdout}{done.stderr}')
    if done.returncode:
        raise SandboxError(
            f'"{" ".join(words[:6])}" failed with status {done.returncode}:\n'
            + _last_lines(done.stdout + done.stderr))
    return done.stdout


def _last_lines(text: str) -> str:
    return '\n'.join(text.splitlines()[-_TAIL_LINES:])


def wait_for(condition: Callable[[], object], seconds: float, what: str,
             log: pathlib.Path | None = None, pause: float = 0.2) -> object:
    """Wait until a condition is true and return what it returned.

    :raises SandboxError: it was not in time; shows the end of the log.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            tail = ''
            if log is not None and log.exists():
                tail = f'; {log} ends with:\n' + _last_lines(
                    log.read_text(errors='replace'))
            raise SandboxError(f'{what}: not within {seconds:.0f}s{tail}')
        time.sleep(pause)


def _started_at(pid: int) -> str | None:
    """Return the kernel's start time of a process, None if it is gone."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(')')[2].split()
    return None if fields[0] == 'Z' else fields[19]


class Daemon:
    """A process of ours that outlives the command that started it."""

    def __init__(self, name: str, command: Sequence[str | os.PathLike],
                 environment: Mapping[str, str] | None = None,
                 configuration: Sequence[pathlib.Path] = ()) -> None:
        """Describe it; start() starts it.

        :param configuration: files and directories whose change makes a
            restart necessary.
        """
        self.name = name
        self.log = config.LOGS / f'{name}.log'
        self._command = [os.fspath(word) for word in command]
        self._environment = dict(environment or {})
        self._configuration = configuration
        self._record = config.RUN / f'{name}.json'

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(json.dumps(
            [self._command, self._environment]).encode())
        for path in self._configuration:
            files = sorted(path.rglob('*')) if path.is_dir() else [path]
            for file in files:
                if file.is_file():
                    digest.update(file.read_bytes())
        return digest.hexdigest()

    def pid(self) -> int | None:
        """Return the process id if it runs."""
        return recorded_pid(self._record)

    def processes(self) -> list[int]:
        """Return it and what else is in its session."""
        pid = self.pid()
        return [] if pid is None else _session(pid)

    def send(self, sign: int) -> None:
        """Send a signal to all of them."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)

    def start(self) -> bool:
        """Start it, unless it runs with this configuration already.

        :returns: whether it was started.
        """
        fingerprint = self._fingerprint()
        if self.pid() is not None:
            if json.loads(self._record.read_text())['of'] == fingerprint:
                return False
        self.stop()
        config.LOGS.mkdir(parents=True, exist_ok=True)
        config.RUN.mkdir(parents=True, exist_ok=True)
        with open(self.log, 'ab') as log:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
                cwd=config.STATE, env={**os.environ, **self._environment,
                                       _MARK: _mark(self._record)})
        self._record.write_text(json.dumps(
            {'pid': process.pid, 'started': _started_at(process.pid),
             'of': fingerprint}))
        return True

    def wait_for(self, condition: Callable[[], object], seconds: float = 60,
                 what: str = 'ready') -> object:
        """Wait for a condition, or for the end of the process."""
        def check() -> object:
            found = condition()
            if not found and self.pid() is None:
                require_running([self.name])
            return found
        return wait_for(check, seconds, f'{self.name} {what}', self.log)

    def stop(self, sign: int = signal.SIGTERM) -> None:
        """End it and its session, politely first."""
        stop_recorded(self._record, sign)


def recorded_pid(path: pathlib.Path) -> int | None:
    """Return the process id that a record names, if it still runs."""
    try:
        known = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    if known['started'] and _started_at(known['pid']) == known['started']:
        return known['pid']
    return None


def stop_named(name: str) -> None:
    """End a daemon of ours by its name."""
    stop_recorded(config.RUN / f'{name}.json')


def stop_recorded(path: pathlib.Path, sign: int = signal.SIGTERM) -> None:
    """End the process that a record names, with all that it has started.

    What is not in its session (privileged helpers, Erlang's) or was started
    by a run that was killed before it made the record is known by its
    environment.
    """
    pid = recorded_pid(path)
    if pid is not None:
        for each, limit in ((sign, _STOP_SECONDS), (signal.SIGKILL, 10)):
            members = _session(pid)
            if not members:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid if pid in members else members[0], each)
            if each == signal.SIGKILL:
                _kill(members)
            deadline = time.monotonic() + limit
            while _session(pid) and time.monotonic() < deadline:
                time.sleep(0.05)
        if _session(pid):
            raise SandboxError(f'process {pid} does not end')
    mark = f'{_MARK}={_mark(path)}'
    end(lambda: [other for other in all_pids() if mark in _environ(other)])
    path.unlink(missing_ok=True)


def _mark(record: pathlib.Path) -> str:
    """Return what tells a daemon from one of a sandbox in a chroot."""
    root = os.stat('/')
    return f'{record}@{root.st_dev}:{root.st_ino}'


def _environ(pid: int) -> list[str]:
    try:
        raw = pathlib.Path(f'/proc/{pid}/environ').read_bytes()
    except OSError:
        return []
    return raw.decode(errors='replace').split('\0')


def _session(leader: int) -> list[int]:
    return [pid for pid in all_pids() if _session_of(pid) == leader]


def _session_of(pid: int) -> int | None:
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(')')[2].split()
    return None if fields[0] == 'Z' else int(fields[3])


def all_pids() -> list[int]:
    """Return every process id of the machine."""
    return [int(name) for name in os.listdir('/proc') if name.isdigit()]


def end(find: Callable[[], Sequence[int]]) -> None:
    """Kill the processes that a function finds, until it finds none."""
    def none_left() -> bool:
        found = find()
        _kill(found)
        return not found
    wait_for(none_left, 10, 'the end of processes', pause=0.05)


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def require_running(names: Sequence[str]) -> None:
    """Look whether daemons of ours still run.

    :raises SandboxError: one has ended; with the end of its log.
    """
    for name in names:
        if recorded_pid(config.RUN / f'{name}.json') is None:
            log = config.LOGS / f'{name}.log'
            raise SandboxError(
                f'{name} ended; {log} ends with:\n'
                + _last_lines(log.read_text(errors='replace')))
