# SPDX-License-Identifier: Apache-2.0
import unittest

from tempest.lib import exceptions

from nova_armvm_tempest_plugin import console
from tests.unit.tempest_plugin import reports


class Nova:
    """Shows one console after the other, and the last for ever."""

    def __init__(self, *texts: str | Exception) -> None:
        self._texts = list(texts)
        self.looks = 0

    def get_console_output(self, server_id: str,
                           length: int) -> dict[str, str]:
        self.looks += 1
        text = (self._texts.pop(0) if len(self._texts) > 1
                else self._texts[0])
        if isinstance(text, Exception):
            raise text
        return {'output': '\n'.join(text.splitlines()[-length:])}


def listen(nova: Nova, lines: int = 100) -> console.Console:
    return console.Console(nova, 'server', boot_seconds=0, interval=0,
                           lines=lines)


def patient(nova: Nova) -> console.Console:
    return console.Console(nova, 'server', boot_seconds=60, interval=0,
                           lines=100)


class BootedTest(unittest.TestCase):

    def test_waits_until_everything_of_a_boot_is_said(self):
        whole = reports.first_boot().splitlines()
        nova = Nova(*('\n'.join(whole[:count])
                      for count in range(len(whole) + 1)))
        said = patient(nova).booted()
        self.assertEqual(len(whole) + 1, nova.looks)
        self.assertEqual('first', said.found.boot_id)

    def test_does_not_take_the_boot_before_for_a_new_one(self):
        heard = patient(Nova(reports.first_boot('first'),
                             reports.first_boot('first', beat=9),
                             reports.next_boot('second')))
        self.assertEqual('first', heard.booted().found.boot_id)
        self.assertEqual('second', heard.booted().found.boot_id)

    def test_a_console_that_is_not_there_yet_is_waited_for(self):
        said = patient(Nova(exceptions.NotFound(), exceptions.Conflict(),
                            reports.first_boot())).booted()
        self.assertTrue(said.found.is_empty)

    def test_any_other_answer_of_nova_ends_the_wait(self):
        with self.assertRaises(exceptions.Forbidden):
            patient(Nova(exceptions.Forbidden())).booted()

    def test_tells_what_was_on_the_console_when_it_was_not_in_time(self):
        with self.assertRaisesRegex(exceptions.TimeoutException,
                                    r'(?s)a new boot.*Synchronous Exception'):
            listen(Nova('EDK II\nSynchronous Exception')).booted()


class GoesOnTest(unittest.TestCase):

    def test_hears_a_later_time_of_the_same_boot(self):
        heard = patient(Nova(reports.first_boot('first', beat=5), '',
                             reports.alive(5), reports.alive(6)))
        heard.booted()
        self.assertEqual(6, heard.goes_on().beat)

    def test_a_guest_that_was_booted_again_did_not_go_on(self):
        nova = Nova(reports.first_boot('first'),
                    reports.next_boot('second', beat=9))
        heard = listen(nova)
        heard.booted()
        with self.assertRaises(exceptions.TimeoutException):
            heard.goes_on()

    def test_each_time_is_heard_once(self):
        heard = listen(Nova(reports.first_boot('first', beat=5),
                            reports.alive(6)))
        heard.booted()
        heard.goes_on()
        with self.assertRaises(exceptions.TimeoutException):
            heard.goes_on()


class SeesTest(unittest.TestCase):

    def test_waits_for_a_machine_that_meets_the_condition(self):
        heard = patient(Nova(reports.first_boot(),
                             reports.hardware(free_ports=3)))
        seen = heard.sees(lambda machine: machine['free_ports'] == 3, 60,
                          'a device')
        self.assertEqual(3, seen['free_ports'])

    def test_tells_what_it_waited_for(self):
        with self.assertRaisesRegex(exceptions.TimeoutException, 'a device'):
            listen(Nova(reports.first_boot())).sees(
                lambda machine: False, 0, 'a device')
