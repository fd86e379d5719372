# SPDX-License-Identifier: Apache-2.0
"""One fault strikes while several operations wait, each before a step."""
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
import contextlib
import dataclasses
import time

from tools.sandbox import admin
from tools.sandbox import commands
from tools.sandbox import config
from tools.sandbox.faults import breaking
from tools.sandbox.faults import operations
from tools.sandbox.faults import recovery
from tools.sandbox.faults import steps
from tools.sandbox.faults import subject as subjects
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import ready

Subject = subjects.Subject

#: How long until all operations have come to their steps, in seconds.
_REACH_SECONDS = 180
#: The driver tidies up once a minute.
_TIDY_SECONDS = 200


@dataclasses.dataclass(frozen=True)
class Place:
    """A step, told by where the server was when the operation began.

    :ivar here: on the host where the server was, not the other one.
    """

    here: bool
    name: str

    def at(self, host: config.Host) -> steps.Step:
        return steps.Step(
            (host if self.here else operations.other(host)).name, self.name)

    def __str__(self) -> str:
        return f'{"here" if self.here else "there"}: {self.name}'


@dataclasses.dataclass(frozen=True)
class Cell:
    """How an operation went when a fault struck at a step.

    :ivar place: None where nothing was to strike.
    :ivar diary: what had to be done to recover, and what was seen.
    :ivar reason: why it does not count as survived, empty if it does.
    :ivar outside: why the server is lost although its variables are not.
    """

    operation: str
    fault: str
    place: Place | None
    diary: tuple[str, ...]
    reason: str
    outside: str = ''


class Round:
    """Operations side by side, each with a server of its own.

    :ivar places: the steps that each operation came to, in order.
    """

    def __init__(self, fault: str, operator: admin.Operator,
                 wanted: Mapping[Subject, Place | None]) -> None:
        """Prepare.

        :param wanted: at which step each subject's operation is to wait.
        """
        self._fault = breaking.FAULTS[fault]
        self._fault_name = fault
        self._operator = operator
        self._wanted = wanted
        self.places: dict[Subject, list[Place]] = {}
        self._reasons: dict[Subject, str] = {}
        self._outside: dict[Subject, str] = {}
        self._began_at: dict[Subject, config.Host] = {}

    def run(self) -> list[Cell]:
        """Do it all; return a cell for each subject."""
        with futures.ThreadPoolExecutor(len(self._wanted)) as pool:
            self._break_it(pool)
            self._each(pool, self._recovered, self._wanted)
            self._return_hosts()
            self._each(pool, self._checked, self._wanted)
        self._audit()
        return [Cell(subject.name, self._fault_name, place,
                     tuple(subject.diary), self._reasons.get(subject, ''),
                     self._outside.get(subject, ''))
                for subject, place in self._wanted.items()]

    def _each(self, pool: futures.Executor, work: Callable[[Subject], None],
              subjects_: Iterable[Subject]) -> None:
        def attempt(subject: Subject) -> None:
            if subject in self._reasons:
                return
            try:
                work(subject)
            except (process.SandboxError, subjects.Unfinished) as error:
                self._reasons[subject] = str(error).partition('\n')[0]
        list(pool.map(attempt, subjects_))

    # The fault

    def _break_it(self, pool: futures.Executor) -> None:
        gates = self._close_gates()
        working = {subject: pool.submit(self._operate, subject)
                   for subject in self._wanted}

        def waiting() -> dict[Subject, steps.Gate]:
            return {subject: gate for subject, each in gates.items()
                    for gate in each if gate.is_reached()}
        with contextlib.suppress(process.SandboxError):
            # Those that do not come to theirs are told of in _strike().
            process.wait_for(
                lambda: all(work.done() or subject in waiting()
                            for subject, work in working.items()),
                _REACH_SECONDS, 'all operations at their steps')
        self._strike(waiting(), [gate for each in gates.values()
                                 for gate in each])
        ready.wait_for(self._operator.cloud, {
            host.name for host in breaking.OURS
            if not any(subject.dead is host for subject in self._wanted)},
            forced_down=True)
        for subject in self._wanted:
            subject.healed.set()
        futures.wait(working.values())
        self.places = {subject: self._passed(subject)
                       for subject in self._wanted}
        for subject, work in working.items():
            if work.exception():
                self._reasons[subject] = repr(work.exception())

    def _strike(self, waiting: Mapping[Subject, steps.Gate],
                gates: Iterable[steps.Gate]) -> None:
        progress.say(f'{self._fault_name}, while there wait: ' + (', '.join(
            f'{subject.name} ({self._wanted[subject]})'
            for subject in waiting) or 'none'))
        for subject, place in self._wanted.items():
            if place is not None and subject not in waiting:
                self._reasons[subject] = f'did not come to "{place}"'
        names = {gate.step.host for gate in waiting.values()}
        scene = breaking.Scene(
            [host for host in breaking.OURS if host.name in names],
            [subject.id for subject in waiting])
        try:
            self._fault.strike(scene)
        finally:
            for gate in gates:
                gate.open()
            # What waited goes on meanwhile.
            time.sleep(self._fault.seconds)
            self._fault.heal(scene)

    def _close_gates(self) -> dict[Subject, list[steps.Gate]]:
        gates = {}
        for subject, place in self._wanted.items():
            subject.healed.clear()
            subject.diary.clear()
            subject.patience = self._fault.patience
            first = subject.name in operations.FIRST
            if first:
                # Closed before it can come to any step: it has to be
                # scheduled yet, to one of the hosts.
                subject.ask_for_server()
            else:
                self._began_at[subject] = subject.host()
            gates[subject] = [
                steps.Gate(subject.id, step) for step in (
                    {place.at(host) for host in breaking.OURS} if first else
                    {place.at(self._began_at[subject])})
            ] if place is not None else []
            for gate in gates[subject]:
                gate.close()
        return gates

    @staticmethod
    def _operate(subject: Subject) -> None:
        try:
            operations.OPERATIONS[subject.name](subject)
        except subjects.Unfinished as error:
            subject.diary.append(f'({error})')

    def _passed(self, subject: Subject) -> list[Place]:
        passed = steps.passed(subject.id)
        here = (self._began_at[subject].name if subject in self._began_at
                else passed[0].host)
        return [Place(step.host == here, step.name) for step in passed]

    # What has to hold afterwards

    def _recovered(self, subject: Subject) -> None:
        try:
            recovery.recover(subject)
        except recovery.BeyondHelp as error:
            self._outside[subject] = str(error)

    def _return_hosts(self) -> None:
        for subject in self._wanted:
            if subject.dead is not None:
                self._operator.bring_back(subject.dead)
                subject.dead = None

    def _checked(self, subject: Subject) -> None:
        if subject.look() is None:
            if subject.name not in (operations.LAST | operations.FIRST):
                raise process.SandboxError('the server is gone')
            self._operator.wait_gone(subject.id)
            return
        if subject.name in operations.LAST:
            raise process.SandboxError('the server is still there')
        if subject in self._outside:
            subject.check_volume()
            return
        subject.check_guest(
            may_be_fresh=subject.name in operations.RESETS)
        host = subject.host().name

        def one_volume_here() -> bool:
            volumes = self._operator.store_volumes(subject.id)
            return (len(volumes) == 1 and [
                (each['host_name']) for each in volumes[0].attachments
            ] == [host] and [each.status for each in self._operator.
                             attachments(volumes[0].id)] == ['attached'])
        process.wait_for(one_volume_here, _TIDY_SECONDS,
                         f'one volume, attached to {host} alone', pause=2)

    def _audit(self) -> None:
        """Hold what the audit finds against the servers that it is about."""
        def clean() -> bool:
            self._findings = commands.audit('--older-than', '0')[1]
            return not self._findings
        try:
            process.wait_for(clean, _TIDY_SECONDS, 'a clean audit', pause=5)
        except process.SandboxError:
            for subject in self._wanted:
                for each in self._findings:
                    if each['server'] == subject.id:
                        self._reasons.setdefault(
                            subject, f'audit: {each["finding"]} '
                                     f'{each["detail"]}')
