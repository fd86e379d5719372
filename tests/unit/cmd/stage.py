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
from nova_armvm import exception
from nova_armvm.host import flash_service
from nova_armvm.store import change as store_change
from nova_armvm.store import cinder
from nova_armvm.store import metadata as store_metadata
from nova_armvm.uefi import varstore

SERVER = '5f0c3f0e-54b7-4ab0-a3a5-0d0b8b6ccf0a'
VOLUME = '0f8d4d0a-5d3f-4be5-8a55-0f2f4a4f3c11'
#: Erases the screen, sets its title, erases it as C1 does, writes from right
#: to left, has half a surrogate pair.
EVIL = 'a\x1b[2J\x1b]0;b\x07\x9b2J\u202ec\ud800\n'


def server(uuid=SERVER, **given):
    return held_server.Server(**{
        'uuid': uuid, 'name': 'server', 'project': 'project',
        'host': 'host-1', 'vm_state': 'stopped', 'task_state': None,
        'locked': False, **given})


def store_volume(uuid=SERVER, **given):
    metadata = {store_metadata.INSTANCE_KEY: uuid,
                **given.pop('metadata', {})}
    return cinder.StoreVolume(**{
        'id': VOLUME, 'status': 'in-use', 'metadata': metadata,
        'hosts': {'attachment': 'host-1'}, 'volume_type': 'nvram', **given})


def version(number=1, reason='guest', time=1_790_000_000, **given):
    return flash_service.VersionInfo(**{
        'sequence': number, 'epoch': 1, 'time': time, 'reason': reason,
        'length': 0, 'sha256': '', **given})


class Editor:
    """Keeps the flash of each server, as a StoreEditor.

    :ivar flash: by uuid or name of the server.
    :ivar earlier: flashes of before, by the number of the version.
    :ivar entries: of the history.
    :ivar metadata: of the volume of each store.
    """

    def __init__(self, **flash):
        self.flash = flash
        self.earlier = {}
        self.entries = []
        self.metadata = {}
        self.running = False

    def look(self, wanted, whole=False, running=False):
        return self.looks(wanted, (None,), whole, running)[0]

    def looks(self, wanted, versions, whole=False, running=False):
        if self.running and not running:
            raise exception.ServerNotOff(server=wanted, state='active')
        return [store_change.Look(
            server(), store_volume(metadata=self.metadata), version(),
            flash if whole else flash[:varstore.READ_SIZE])
            for flash in (self._of(wanted, number) for number in versions)]

    def _of(self, wanted, number=None):
        if wanted not in self.flash:
            raise exception.ServerNotFound(server=wanted, count='no')
        if number is None:
            return self.flash[wanted]
        if number not in self.earlier:
            raise exception.NoSuchVersion(server=wanted, version=number)
        return self.earlier[number]

    def history(self, wanted, limit):
        self._of(wanted)
        return self.entries[:limit or None]

    def change(self, wanted, edit, whole=False):
        before = self._of(wanted)
        part = len(before) if whole else varstore.READ_SIZE
        after = edit(before[:part]) + before[part:]
        assert len(after) == len(before)
        self.flash[wanted] = after
        return store_change.Change(server(), None if after == before else 7)

    def restore(self, wanted, number):
        self.flash[wanted] = self._of(wanted, number)
        return store_change.Change(server(), 8, number)

    def reset(self, wanted):
        self.flash[wanted] = bytes(len(self._of(wanted)))
        return store_change.Change(server(), marked=True)

    def undo(self, wanted):
        if not self.earlier:
            raise exception.StoreNothingKept(server=wanted)
        return self.restore(wanted, max(self.earlier))

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
            lambda conf: nvram._Tools(None, None, self.editor)))
        self.directory = self.useFixture(fixtures.TempDir())

    def nvram(self, *words, answer=''):
        return self.run_command('nvram', *words, answer=answer)
