# SPDX-License-Identifier: Apache-2.0
"""``openstack armvm nvram template create``."""
import argparse
import datetime
import hashlib
import typing as ty
import uuid

from keystoneauth1 import adapter
from osc_lib.command import command
from osc_lib import exceptions

from nova_armvm.osc import files
from nova_armvm.osc import refusals
from nova_armvm.uefi import edit
from nova_armvm.uefi import formats
from nova_armvm.uefi import secure_boot
from nova_armvm.uefi import varstore

_FLASH_MAX = 64 * 1024 * 1024
_VISIBILITIES = ('private', 'shared', 'community', 'public')


class Create(command.ShowOne):
    """Make an image with the UEFI variables that servers begin with.

    Either from certificates (--pk, --db, and more), which switches Secure
    Boot on, or from variables in a file (--from). An image that is to boot
    with them names it: hw_armvm_nvram_template=<id>.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('name', metavar='<name>', nargs='?',
                            help='name of the image to be made')
        _add_keys(parser)
        parser.add_argument(
            '--from', dest='source', metavar='<file>',
            help='variables as "armvm-manage nvram export", virt-fw-vars or '
                 'EC2 have them, in place of certificates')
        parser.add_argument(
            '--store-format', dest='form', choices=formats.FORMATS,
            default='raw', help='of what is made (default %(default)s)')
        parser.add_argument(
            '--visibility', choices=_VISIBILITIES, default='private',
            help='who may see the image (default %(default)s)')
        parser.add_argument(
            '--file', metavar='<file>',
            help='write this file, which must not exist, and make no image')
        return parser

    def take_action(self, parsed_args: argparse.Namespace):
        if (parsed_args.name is None) == (parsed_args.file is None):
            raise exceptions.CommandError(
                'Give either the name of an image, or --file.')
        with refusals.of_ours():
            variables, facts = _variables(parsed_args)
            content = _written(variables, parsed_args.form)
            if parsed_args.file:
                files.write_new(parsed_args.file, content)
                where = {'file': parsed_args.file}
            else:
                where = {'id': _upload(
                    self.app.client_manager.sdk_connection.image,
                    parsed_args.name, parsed_args.visibility, content),
                    'name': parsed_args.name}
        shown = where | facts | {
            'format': parsed_args.form, 'size': len(content),
            'sha256': hashlib.sha256(content).hexdigest(),
            'variables': ', '.join(sorted(
                each.key.name for each in variables))}
        return tuple(shown), tuple(shown.values())


def _add_keys(parser: argparse.ArgumentParser) -> None:
    """Add the options for certificates."""
    keys = parser.add_argument_group(
        'certificates', 'X.509, as PEM or DER; a PEM file may hold several')
    keys.add_argument('--pk', metavar='<file>',
                      help='of the platform\'s owner (PK); just one')
    for name, words in (
            ('kek', 'of who may change db and dbx (KEK)'),
            ('db', 'of who signs what may be started'),
            ('dbx', 'of who signs what may not be started')):
        keys.add_argument(f'--{name}', metavar='<file>', action='append',
                          default=[], help=f'{words}; may be repeated')
    keys.add_argument('--owner-guid', type=_guid, metavar='<guid>',
                      help='whose they are; a new one if it is not given')


def _guid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no GUID') from error


def _variables(arguments: argparse.Namespace) -> tuple[
        tuple[varstore.Variable, ...], dict[str, ty.Any]]:
    """Return what is asked for, and what else can be said of it.

    :raises ArmVMError: a file cannot be used.
    """
    keys = (arguments.pk, arguments.kek, arguments.db, arguments.dbx)
    if arguments.source:
        if any(keys) or arguments.owner_guid:
            raise exceptions.CommandError(
                '--from takes the variables as they are; give no '
                'certificates with it.')
        found = formats.read(files.content_of(arguments.source, _FLASH_MAX))
        if not found:
            raise exceptions.CommandError(
                f'There are no variables in {arguments.source}.')
        return found, {}
    if not arguments.pk or not arguments.db:
        raise exceptions.CommandError(
            'Give --pk and --db, or --from. Without a PK Secure Boot is off, '
            'and without db nothing could be started.')
    owner = arguments.owner_guid or uuid.uuid4()
    return secure_boot.enrolled(
        _keys(arguments), owner,
        datetime.datetime.now(datetime.timezone.utc)), {
            'owner_guid': str(owner)}


def _keys(arguments: argparse.Namespace) -> secure_boot.Keys:
    platform = _certificates([arguments.pk])
    if len(platform) != 1:
        raise exceptions.CommandError(
            f'{arguments.pk} holds {len(platform)} certificates; the PK is '
            'just one.')
    return secure_boot.Keys(
        platform[0], *(_certificates(paths) for paths in (
            arguments.kek, arguments.db, arguments.dbx)))


def _certificates(paths: list[str]) -> tuple[bytes, ...]:
    return tuple(found for path in paths for found in secure_boot.certificates(
        files.content_of(path, secure_boot.MAX_FILE), path))


def _written(variables: tuple[varstore.Variable, ...], form: str) -> bytes:
    """Return variables in a form; checked as firmware would.

    :raises ArmVMError: firmware would not keep all of them.
    """
    flash = edit.store_of(variables, varstore.READ_SIZE)
    if form == 'raw':
        return flash
    return (formats.to_json if form == 'json' else formats.to_aws)(
        variables).encode()


def _upload(glance: adapter.Adapter, name: str, visibility: str,
            content: bytes) -> str:
    """Make an image; return its id. Nothing is left when it fails."""
    with refusals.of_glance():
        made = glance.post('/images', json={
            'name': name, 'disk_format': 'raw', 'container_format': 'bare',
            'visibility': visibility}).json()['id']
        try:
            glance.put(f'/images/{made}/file', data=content, headers={
                'Content-Type': 'application/octet-stream'})
        except BaseException:
            glance.delete(f'/images/{made}')
            raise
        return made
