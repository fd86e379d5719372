# SPDX-License-Identifier: Apache-2.0
import pathlib

import fixtures
import testtools

from tools.sandbox.history import checker
from tools.sandbox.history import following
from tools.sandbox.history import walk

OPERATIONS = ('evacuate', 'pause', 'resize', 'stop-start')
KILLS = {'power-lost': (5, 30), 'qemu-killed': (0,)}


def end(number):
    return (f'ARMVM {{"event":"end","sequence":0,"operation":{number},'
            f'"name":"H0","result":"ok","seen":"{number}","next":"H1",'
            '"next_kind":"write"}\n').encode()


class FollowerTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.log = self.top / 'here' / 'console.log'
        self.log.parent.mkdir()
        self.follower = following.Follower(self.log)
        self.addCleanup(self.follower.close)

    def write(self, content, how='ab'):
        with open(self.log, how) as stream:
            stream.write(content)

    def lines(self):
        return list(self.follower.lines())

    def test_console_that_is_not_there_yet_says_nothing(self):
        self.assertEqual([], self.lines())
        self.write(b'one\n')
        self.assertEqual([b'one'], self.lines())

    def test_line_is_told_when_it_is_whole(self):
        self.write(b'one\ntw')
        self.assertEqual([b'one'], self.lines())
        self.write(b'o\n')
        self.assertEqual([b'two'], self.lines())
        self.assertEqual([], self.lines())

    def test_file_that_begins_anew_is_read_from_its_start(self):
        self.write(b'one\ntwo\n')
        self.lines()
        self.write(b'three\n', 'wb')
        self.assertEqual([b'three'], self.lines())

    def test_file_that_began_anew_and_is_longer_is_noticed(self):
        self.write(b'one\n')
        self.lines()
        self.write(b'a line that is longer\nsecond\n', 'wb')
        self.assertEqual([b'a line that is longer', b'second'],
                         self.lines())

    def test_file_that_is_put_aside_is_read_to_its_end(self):
        self.write(b'one\n')
        self.lines()
        self.write(b'two\n')
        self.log.rename(self.top / 'console.log.0')
        self.write(b'three\n')
        self.assertEqual([b'two', b'three'], self.lines() + self.lines())

    def test_directory_that_moves_and_comes_back(self):
        self.write(b'one\n')
        self.lines()
        aside = self.log.parent.rename(self.top / 'here_resize')
        with open(aside / 'console.log', 'ab') as stream:
            stream.write(b'two\n')
        self.assertEqual([b'two'], self.lines())
        aside.rename(self.log.parent)
        self.write(b'three\n', 'wb')
        self.assertEqual([b'three'], self.lines())

    def test_directory_that_is_deleted_and_made_again(self):
        self.write(b'one\n')
        self.lines()
        self.log.unlink()
        self.log.parent.rmdir()
        self.assertEqual([], self.lines())
        self.log.parent.mkdir()
        self.write(b'two\n')
        self.assertEqual([b'two'], self.lines() + self.lines())


class GuestTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.logs = [top / name for name in ('here', 'there')]
        self.guest = following.Guest(self.logs, 'A', first=5)
        self.addCleanup(self.guest.close)

    def acknowledged(self):
        return self.guest.ask(checker.History.counts).acknowledged

    def test_all_hosts_are_heard(self):
        self.logs[0].write_bytes(end(5))
        self.logs[1].write_bytes(end(6) + b'firmware\n' + end(7))
        self.guest.listen()
        self.assertEqual(3, self.acknowledged())

    def test_what_was_before_does_not_count(self):
        self.logs[0].write_bytes(end(4) + end(5))
        self.guest.listen()
        self.assertEqual(1, self.acknowledged())

    def test_guest_is_alive_when_it_says_something_new(self):
        self.logs[0].write_bytes(end(5))
        self.assertFalse(self.guest.has_written_since(0))
        self.guest.listen()
        self.assertTrue(self.guest.has_written_since(0))
        self.logs[1].write_bytes(end(5))
        before = self.guest._alive
        self.guest.listen()
        self.assertFalse(self.guest.has_written_since(before))

    def test_thread_listens_until_it_is_told_not_to(self):
        with following.Listener() as listener:
            listener.add(self.guest)
            self.logs[0].write_bytes(end(5))
            for _look in range(200):
                if self.guest.has_written_since(0):
                    break
                listener._done.wait(0.05)
            listener.require()
        self.assertEqual(1, self.acknowledged())

    def test_end_of_listening_is_told(self):
        class Broken:
            def listen(self):
                raise OSError('gone')

            def close(self):
                """Nothing to close."""
        listener = following.Listener()
        self.useFixture(fixtures.MonkeyPatch('threading.excepthook',
                                             lambda _arguments: None))
        with listener:
            listener.add(Broken())
            listener._thread.join(10)
            self.assertRaises(OSError, listener.require)


class PlanTest(testtools.TestCase):

    def plan(self, seed=7, steps=200, guests=2):
        return walk.plan(seed, steps, guests, OPERATIONS, ('evacuate',),
                         KILLS)

    def test_same_seed_is_the_same_walk(self):
        self.assertEqual(self.plan(), self.plan())
        self.assertNotEqual(self.plan(), self.plan(seed=8))

    def test_longer_walk_begins_like_a_shorter_one(self):
        self.assertEqual(self.plan(steps=20), self.plan()[:20])

    def test_host_is_taken_away_while_nothing_else_is_done(self):
        alone = [step for step in self.plan()
                 if 'evacuate' in step.operations]
        self.assertNotEqual([], alone)
        for step in alone:
            self.assertIsNone(step.kill)
            self.assertEqual({None, 'evacuate'}, set(step.operations))

    def test_everything_comes_up(self):
        plan = self.plan()
        done = {name for step in plan for name in step.operations}
        self.assertEqual({*OPERATIONS, None}, done)
        killed = {(step.kill.name, step.kill.away, step.kill.target)
                  for step in plan if step.kill}
        self.assertEqual({(name, away, target)
                          for name, times in KILLS.items()
                          for away in times for target in (0, 1)}, killed)

    def test_step_is_put_into_words(self):
        self.assertEqual(
            'guest 0 resize, guest 1 writes; power-lost at guest 1 after '
            '2.5s for 5s', str(walk.Step(1, ('resize', None), walk.Kill(
                'power-lost', 1, 2.5, 5))))
        self.assertEqual('guest 0 pause; nothing is killed',
                         str(walk.Step(1, ('pause',), None)))
