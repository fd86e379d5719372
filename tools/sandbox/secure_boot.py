# SPDX-License-Identifier: Apache-2.0
"""The demo's story of a tenant who brings keys for Secure Boot along."""
from concurrent import futures
import ssl

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import commands
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox.guest import image
from tools.sandbox.guest import keys
from tools.sandbox.guest import load_option
from tools.sandbox import process
from tools.sandbox import readings
from tools.sandbox import stories
from tools.sandbox import table as tables

NAME = 'Own keys for Secure Boot, from the first boot on'
_TEMPLATE = 'hw_armvm_nvram_template'
_REFUSED_SECONDS = 60
_SECURE = 'disk S, Secure Boot on, keys enrolled'
_OPEN = 'disk N, Secure Boot off, no keys'
_STRANGER = 'Boot0060'


def run(table: tables.Table, tenant: cloud.Tenant,
        operator: admin.Operator) -> None:
    """Make a template, boot what is signed and what is not, move it."""
    story = _Story(table, tenant)
    template = story.make_template()
    signed, unsigned = (tenant.image(disk, {_TEMPLATE: template})
                        for disk in image.FOR_SECURE_BOOT)
    without = tenant.image(image.UNSIGNED, cloud.PERSISTENT)
    # What is no template, for which a disk will do.
    wrong = tenant.image(image.SIGNED, {_TEMPLATE: without})
    with futures.ThreadPoolExecutor() as pool:
        for beside in [pool.submit(*work) for work in (
                (story.boot, signed), (story.refuse, unsigned),
                (story.boot_without_keys, without),
                (story.refuse_template, wrong))]:
            beside.result()
    story.check('its volume', 'PK and KEK as in the template, both agree',
                lambda: story.on_the_volume(operator))
    story.move(operator)
    story.refuse_stranger()
    story.server.delete()
    operator.wait_gone(story.server.id)
    for made in (signed, unsigned, wrong, template):
        tenant.delete_image(made)


class _Story(stories.Story):
    """A server that starts only what is signed."""

    def __init__(self, table: tables.Table, tenant: cloud.Tenant) -> None:
        super().__init__(NAME, table, tenant)
        self._made: dict[str, str] = {}

    def make_template(self) -> str:
        """Make the image with the keys; return its id."""
        def make() -> tuple[str, bool]:
            self._made = commands.openstack(
                'armvm', 'nvram', 'template', 'create', 'sandbox-keys',
                *(word for name in keys.NAMES for word in (
                    f'--{name.lower()}', keys.certificate(name))))
            return (f'an image with {self._made["variables"]}',
                    self._made['variables'] == 'KEK, PK, db')
        self.check('nvram template create', 'an image with KEK, PK, db', make)
        return self._made['id']

    def boot(self, picture: str) -> None:
        """Boot the signed loader; this is the server that goes on."""
        def work() -> tuple[str, bool]:
            self.server = self.tenant.boot('signed', picture, config.ARMVM)
            return _is_secure(self.booted())
        self.check('a signed loader', _SECURE, work)

    def refuse(self, picture: str) -> None:
        """Boot an unsigned loader from the same keys."""
        def work() -> tuple[str, bool]:
            server = self.tenant.boot('unsigned', picture, config.ARMVM)
            words = _refusal(server)
            server.delete()
            return words, True
        self.check('the same loader, unsigned', 'refused by the firmware',
                   work)

    def boot_without_keys(self, picture: str) -> None:
        """Show that nothing but the signature is wrong with that loader."""
        def work() -> tuple[str, bool]:
            server = self.tenant.boot('no keys', picture, config.ARMVM)
            seen = server.console.wait('boot', stories.BOOT_SECONDS)
            server.delete()
            words = console.secure_boot(seen)
            return words, words == _OPEN
        self.check('unsigned, and no template', _OPEN, work)

    def refuse_template(self, picture: str) -> None:
        """Boot with an image for template that is none."""
        def work() -> tuple[str, bool]:
            server = self.tenant.ask_for('no template', picture, config.ARMVM)
            told = server.fault()
            server.delete()
            return (told.rpartition('template, is ')[2],
                    'no variable store' in told)
        self.check('a template that is a disk', 'refused, with the reason',
                   work)

    def on_the_volume(self, operator: admin.Operator) -> tuple[str, bool]:
        """Compare the store with the template."""
        volume = operator.store_volumes(self.server.id)[0]
        ours = readings.by_our_parser(volume.id)
        theirs = readings.by_virt_firmware(volume.id)
        ends = all(bytes.fromhex(ours[name]).endswith(_der(name))
                   for name in ('PK', 'KEK'))
        named = volume.metadata.get('armvm_template_image')
        return (f'PK and KEK {"as in" if ends else "NOT of"} the template, '
                f'both {"agree" if ours == theirs else "DISAGREE"}',
                ends and ours == theirs and named == self._made['id'])

    def move(self, operator: admin.Operator) -> None:
        """Cold-migrate to the other host."""
        def work() -> tuple[str, bool]:
            operator.migrate_beside(self.server, config.ARMVM_2)
            self.server.is_at(config.ARMVM_2)
            words, held = _is_secure(self.booted())
            self.server.confirm()
            return f'{words}, on {operator.host_of(self.server)}', held
        self.check('cold migration',
                   f'{_SECURE}, on {config.ARMVM_2.name}', work)

    def refuse_stranger(self) -> None:
        """Have the firmware try a program that nobody has signed."""
        path = '\\' + image.STRANGER.replace('/', '\\')

        def work() -> tuple[str, bool]:
            talk = self.server.console
            talk.write(_STRANGER, stories.option_for(
                image.SIGNED, 'not signed', path))
            talk.write('BootNext', load_option.order(
                int(_STRANGER[4:], 16)))
            talk.skip()
            self.reboot_from_inside()
            words, held = _is_secure(self.booted())
            refused = _refusal(self.server, _STRANGER)
            return f'{refused}; then {words}', held
        self.check('BootNext: an unsigned program',
                   'refused, then the signed loader', work)


def _der(name: str) -> bytes:
    """Return a certificate as it stands in a variable."""
    return ssl.PEM_cert_to_DER_cert(keys.certificate(name).read_text())


def _is_secure(seen: console.Event) -> tuple[str, bool]:
    words = console.secure_boot(seen)
    return words, words == _SECURE


def _refusal(server: cloud.Server, option: str = r'Boot\w{4}') -> str:
    """Wait until the firmware has refused a program; return how."""
    log = server.host.console(server.id)
    return process.wait_for(
        lambda: log.exists() and console.refusal(
            log.read_text(errors='replace'), option), _REFUSED_SECONDS,
        'the firmware to refuse a program', log)
