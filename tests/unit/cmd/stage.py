# SPDX-License-Identifier: Apache-2.0
"""A place to run ``armvm-manage`` in, with servers that are made up."""
import contextlib
import io
from unittest import mock

import fixtures
from nova import conf as nova_conf
import testtools

from nova_armvm.cmd import held_server
from nova_armvm.cmd import manage
from nova_armvm.cmd import nvram
from nova_armvm.cmd import nvram_change
from nova_armvm import exception
from nova_armvm.nvram import volume
from nova_armvm.uefi import varstore

SERVER = '5f0c3f0e-54b7-4ab0-a3a5-0d0b8b6ccf0a'
VOLUME = '0f8d4d0a-5d3f-4be5-8a55-0f2f4a4f3c11'
SNAPSHOT = 'c5f5b7f2-0a52-4b3e-9f60-5f1a3f2f0f5e'


def server(uuid=SERVER, **given):
    return held_server.Server(**{
        'uuid': uuid, 'name': 'server', 'project': 'project',
        'host': 'host-1', 'vm_state': 'stopped', 'task_state': None,
        'locked': False, **given})


def store_volume(uuid=SERVER, **given):
    metadata = {volume.INSTANCE_KEY: uuid, **given.pop('metadata', {})}
    return volume.Volume(**{
        'id': VOLUME, 'status': 'in-use', 'metadata': metadata,
        'hosts': {'attachment': 'host-1'}, 'volume_type': 'nvram', **given})


class Editor:
    """Keeps the flash of each server, as a StoreEditor.

    :ivar flash: by uuid or name of the server.
    :ivar metadata: of the volume of each store.
    """

    def __init__(self, **flash):
        self.flash = flash
        self.metadata = {}
        self.running = False

    def look(self, wanted, whole=False, running=False):
        if self.running and not running:
            raise exception.ServerNotOff(server=wanted, state='active')
        flash = self._of(wanted)
        return nvram_change.Look(
            server(), store_volume(metadata=self.metadata),
            flash if whole else flash[:varstore.READ_SIZE])

    def _of(self, wanted):
        if wanted not in self.flash:
            raise exception.ServerNotFound(server=wanted, count='no')
        return self.flash[wanted]

    def change(self, wanted, edit, whole=False):
        before = self._of(wanted)
        part = len(before) if whole else varstore.READ_SIZE
        after = edit(before[:part]) + before[part:]
        assert len(after) == len(before)
        self.flash[wanted] = after
        if after == before:
            return nvram_change.Change(server(), 0)
        return nvram_change.Change(server(), 1, SNAPSHOT)

    def reset(self, wanted):
        self.flash[wanted] = bytes(len(self._of(wanted)))
        return nvram_change.Change(server(), 0, SNAPSHOT)

    def undo(self, wanted):
        raise exception.StoreNothingKept(server=wanted)

    def variables(self, wanted='server'):
        return varstore.parse(self.flash[wanted]).variables


class CommandTestCase(testtools.TestCase):
    """Runs the command as its console script would."""

    def run_command(self, *words, answer='', main=manage.main):
        """Return the exit status, and what was printed and complained of."""
        printed, complaint = io.StringIO(), io.StringIO()
        with (mock.patch('sys.argv', ['armvm', '--config-file', '/dev/null',
                                      *words]),
              mock.patch('sys.stdin', io.StringIO(answer)),
              contextlib.redirect_stdout(printed),
              contextlib.redirect_stderr(complaint)):
            try:
                status = main()
            except SystemExit as ended:
                status = ended.code
            finally:
                # The command reads Nova's configuration, of which there is
                # one.
                nova_conf.CONF.reset()
        self.assert_harmless(printed.getvalue())
        self.assert_harmless(complaint.getvalue())
        return status, printed.getvalue(), complaint.getvalue()

    def assert_harmless(self, output):
        """Nothing that a terminal would obey."""
        odd = {char for char in output
               if char != '\n' and not char.isprintable()}
        self.assertEqual(set(), odd)


class NvramTestCase(CommandTestCase):
    """With one server called "server" and its flash.

    :ivar editor: has it.
    """

    flash = b''

    def setUp(self):
        super().setUp()
        self.editor = Editor(server=self.flash)
        self.useFixture(fixtures.MonkeyPatch(
            'nova_armvm.cmd.nvram._tools',
            lambda conf: nvram._Tools(None, None, self.editor, None)))
        self.directory = self.useFixture(fixtures.TempDir())

    def nvram(self, *words, answer=''):
        return self.run_command('nvram', *words, answer=answer)
