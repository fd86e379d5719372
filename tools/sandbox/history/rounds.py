# SPDX-License-Identifier: Apache-2.0
"""Does what a walk says, and looks after each step whether all is there."""
import collections
from collections.abc import Callable, Mapping
from concurrent import futures
import time
import typing as ty

from tools.sandbox import admin
from tools.sandbox import config
from tools.sandbox.faults import breaking
from tools.sandbox.faults import operations
from tools.sandbox.faults import recovery
from tools.sandbox.faults import subject as subjects
from tools.sandbox.history import checker
from tools.sandbox.history import following
from tools.sandbox.history import kills
from tools.sandbox.history import walk
from tools.sandbox.history import writer
from tools.sandbox import hosts
from tools.sandbox import process
from tools.sandbox import progress
from tools.sandbox import ready

Subject = subjects.Subject


class Violated(Exception):
    """A guest has lost something; the message tells everything."""


class Rounds:
    """Several guests that write, and what happens to them.

    :ivar operations: how often each was done.
    :ivar killed: how often each was killed.
    :ivar steps: how many were done.
    :ivar violations: all that was found.
    :ivar beyond_help: servers that Nova could not bring back.
    """

    def __init__(self, operator: admin.Operator,
                 listener: following.Listener, seed: int,
                 guests: int) -> None:
        self._operator = operator
        self._subjects = [
            Subject(f'history-{number}',
                    busy=writer.Writer(listener, seed + number))
            for number in range(guests)]
        self.operations: collections.Counter[str] = collections.Counter()
        self.killed: collections.Counter[str] = collections.Counter()
        self.steps = 0
        self.violations: list[checker.Violation] = []
        self.beyond_help = 0
        #: Those that lost something in the last step.
        self._lost: list[Subject] = []

    def begin(self) -> None:
        """Boot the guests; from then on they write."""
        self._side_by_side(Subject.begin)

    def end(self) -> None:
        """Delete the servers."""
        self._side_by_side(Subject.end)

    def counts(self) -> checker.Counts:
        """Count what has happened to all guests."""
        return sum((subject.busy.counts() for subject in self._subjects),
                   checker.Counts())

    def run(self, step: walk.Step) -> None:
        """Do a step, bring everything back and look.

        :raises Violated: something is lost.
        :raises SandboxError: a guest is not brought back.
        """
        progress.say(f'step {step.number}: {step}')
        self.steps += 1
        with futures.ThreadPoolExecutor(len(self._subjects)) as pool:
            self._disturb(step, pool)
        self._side_by_side(self._bring_back)
        for subject in self._subjects:
            self._return_host(subject)
        found = dict(zip(self._subjects, self._side_by_side(self._look)))
        counts = self.counts()
        progress.say(
            f'step {step.number}: ' + '; '.join(
                f'{subject.name} {", ".join(subject.diary) or "by itself"}'
                for subject in self._subjects) +
            f'; {counts.acknowledged} acknowledged, {counts.boots} boots')
        self._judge(step, found)

    def begin_anew(self) -> None:
        """Give every guest that has lost something a new server."""
        for subject in self._lost:
            subject.end()
            subject.begin()

    def _side_by_side(self, work: Callable[[Subject], ty.Any]) -> list:
        with futures.ThreadPoolExecutor(len(self._subjects)) as pool:
            return list(pool.map(work, self._subjects))

    # What happens

    def _disturb(self, step: walk.Step, pool: futures.Executor) -> None:
        kind = kills.KILLS[step.kill.name] if step.kill else None
        for subject in self._subjects:
            subject.diary.clear()
            subject.patience = kind.patience if kind else 30
            if kind is not None:
                subject.healed.clear()
        working = [pool.submit(self._operate, subject, name)
                   for subject, name in zip(self._subjects, step.operations)
                   if name is not None]
        try:
            if kind is not None:
                self._kill(step.kill, kind)
        finally:
            for subject in self._subjects:
                subject.healed.set()
        for work in working:
            work.result()

    def _operate(self, subject: Subject, name: str) -> None:
        self.operations[name] += 1
        try:
            operations.OPERATIONS[name](subject)
        except subjects.Unfinished as error:
            subject.diary.append(f'({error})')

    def _kill(self, kill: walk.Kill, kind: kills.Kind) -> None:
        time.sleep(kill.after)
        subject = self._subjects[kill.target]
        scene = kills.scene(subject.host(), subject.id)
        progress.say(f'{kill.name} on {scene.hosts[0].name}')
        self.killed[kill.name] += 1
        try:
            kind.strike(scene)
            time.sleep(kill.away)
        finally:
            kind.heal(scene)
        ready.wait_for(self._operator.cloud,
                       {host.name for host in breaking.OURS},
                       forced_down=True)

    # What an operator does afterwards

    def _bring_back(self, subject: Subject) -> None:
        try:
            recovery.recover(subject)
        except recovery.BeyondHelp as error:
            # With any driver; its variables are judged by what was heard.
            subject.diary.append(f'beyond help: {error}')
            self.beyond_help += 1
            if not subject.busy.violations():
                self._return_host(subject)
                subject.end()
                subject.begin()

    def _return_host(self, subject: Subject) -> None:
        if subject.dead is not None:
            self._operator.bring_back(subject.dead)
            subject.dead = None

    @staticmethod
    def _look(subject: Subject) -> list[checker.Violation]:
        """Wait until the guest writes; return what is wrong.

        If it does not write it is hard rebooted, once.
        """
        subject.server.is_at(subject.host())
        try:
            subject.busy.writes_again()
        except process.SandboxError:
            subject.diary.append('silent, hard reboot')
            try:
                subject.bring('ACTIVE', subject.compute.reboot_server, 'HARD')
                subject.busy.writes_again()
            except (process.SandboxError, subjects.Unfinished) as error:
                return [*subject.busy.violations(), checker.Violation(
                    'silent', (), str(error).partition('\n')[0])]
        subject.busy.writes_much()
        return subject.busy.violations()

    def _judge(self, step: walk.Step, found: Mapping[
            Subject, list[checker.Violation]]) -> None:
        lines = []
        self._lost = [subject for subject in found if found[subject]]
        for subject, violations in found.items():
            self.violations += violations
            lines += [f'{subject.name}: {each.report()}'
                      for each in violations]
            if violations:
                lines += [
                    f'    server {subject.id}, console '
                    f'{hosts.ComputeHost(host).console(subject.id)}'
                    for host in (config.ARMVM, config.ARMVM_2)]
        if lines:
            raise Violated('\n'.join((
                f'VIOLATION in step {step.number} ({step}):', *lines)))
