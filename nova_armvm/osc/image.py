# SPDX-License-Identifier: Apache-2.0
"""``openstack armvm image check`` and ``openstack armvm image tag``."""
import argparse
import json
import os
import sys
import typing as ty

from keystoneauth1 import adapter
from osc_lib.command import command
from osc_lib import exceptions

from nova_armvm import exception
from nova_armvm.image import check
from nova_armvm.image import container
from nova_armvm.image import report
from nova_armvm.osc import glance_source
from nova_armvm.osc import refusals
from nova_armvm.osc import tagging
from nova_armvm.profile import registry

#: As of armvm-image.
NOT_COMPLIANT = 3
#: Width of the progress bar.
_BAR = 40
_MIB = 1024 * 1024
_PATCH = 'application/openstack-images-v2.1-json-patch'


def _glance(app: ty.Any) -> ty.Any:
    """Return the image service."""
    return app.client_manager.sdk_connection.image


def _find(app: ty.Any, name: str) -> ty.Any:
    """Return an image of Glance by its name or id."""
    found = _glance(app).find_image(name)
    if found is None:
        raise exceptions.CommandError(
            f'There is no image "{name}", and no file of that name.')
    return found


def _look_at_file(path: str) -> report.Report:
    with container.opened(path) as image:
        return check.check(image.disk, image.format)


def _look_in_glance(app: ty.Any, image: ty.Any) -> report.Report:
    """Look into an image of Glance, in whole if there is no other way."""
    glance, size = _glance(app), image.size
    if not size:
        raise exception.ImageUnsupported(
            reason='Glance has no content of it yet')
    try:
        opened = container.look_into(
            glance_source.GlanceSource(glance, image.id, size))
        return check.check(opened.disk, opened.format)
    except glance_source.RangesRefused:
        with glance_source.copied(glance, image.id, size,
                                  _progress(size)) as whole:
            opened = container.look_into(whole)
            return check.check(opened.disk, opened.format)


def progress_bar(there: int, size: int) -> str:
    """Return a line that shows how far a download is.

    :param there: bytes that have come.
    :param size: bytes in all.
    """
    done = _BAR * there // size
    return (f'[{"=" * done}{" " * (_BAR - done)}] '
            f'{there // _MIB} of {size // _MIB} MiB')


def _progress(size: int):
    """Return what tells a person how far a download is."""
    def tell(there: int) -> None:
        if sys.stderr.isatty():
            end = '\n' if there == size else ''
            print(f'\r{progress_bar(there, size)}', end=end,
                  file=sys.stderr, flush=True)
    return tell


def _rows(found: report.Report) -> tuple[tuple[str, ...], list[tuple]]:
    return ('Id', 'Outcome', 'Reason'), [
        (finding.id, finding.outcome.value, finding.reason)
        for finding in found.findings]


class _WithStatus(command.Lister):
    """A list with an exit status of its own."""

    status = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        return super().run(parsed_args) or self.status


class Check(_WithStatus):
    """Hold an image against the ARM VM specification (IMG-1 to IMG-5).

    Of an image in Glance only what is needed is read where the store allows
    it; elsewhere the whole of it is copied to a temporary file. Exit status:
    0 it complies, 1 it could not be looked into, 3 it does not comply.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('image', metavar='<file|image>',
                            help='a file, or else the name or id of an image')
        return parser

    def take_action(self, parsed_args: argparse.Namespace):
        with refusals.of_ours():
            if os.path.exists(parsed_args.image):
                found = _look_at_file(parsed_args.image)
            else:
                found = _look_in_glance(
                    self.app, _find(self.app, parsed_args.image))
        self.status = 0 if found.compliant else NOT_COMPLIANT
        return _rows(found)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition('=')
    name = name.removeprefix('hw_armvm_')
    known = [wanted.name for wanted in registry.PROPERTIES]
    if not equals or name not in known:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not one of {", ".join(known)} with a value behind '
            '"="')
    return name, value


class Tag(_WithStatus):
    """Give an image the properties and required traits of an ARM machine.

    A property that has another value is left alone and nothing is set, unless
    --force is given. Exit status: 0 done, 1 refused, 3 the image does not
    comply (--check).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('image', metavar='<image>',
                            help='name or id of an image')
        parser.add_argument(
            '--spec', choices=registry.PROPERTIES[0].allowed, default='2.0',
            help='version of the specification (default %(default)s)')
        parser.add_argument(
            '--property', action='append', default=[], type=_assignment,
            metavar='<name=value>', dest='properties',
            help='another property of ours, such as gic_version=3; may be '
                 'repeated')
        parser.add_argument(
            '--check', action='store_true',
            help='look into the image first; tag only what complies, for the '
                 'architecture that was found')
        parser.add_argument('--dry-run', action='store_true',
                            help='show what would be set')
        parser.add_argument('--force', action='store_true',
                            help='replace other values')
        return parser

    def take_action(self, parsed_args: argparse.Namespace):
        with refusals.of_ours():
            return self._tag(parsed_args)

    def _tag(self, arguments: argparse.Namespace):
        image = _find(self.app, arguments.image)
        asked = {'spec': arguments.spec, **dict(arguments.properties)}
        states: tuple[str, ...] = ()
        if arguments.check:
            found = _look_in_glance(self.app, image)
            if not found.compliant:
                self.status = NOT_COMPLIANT
                return _rows(found)
            states = found.architectures
        glance = _glance(self.app)
        present = _properties(glance, image.id)
        architecture = tagging.architecture_of(
            present, states, asked.get('execution_state'))
        changes = tagging.changes(
            present, tagging.wanted(present, architecture, asked),
            arguments.force)
        if not changes:
            print('The image has all of it already.', file=sys.stderr)
        elif not arguments.dry_run:
            _set(glance, image.id, changes)
        return ('Property', 'Before', 'After'), [
            (change.name, change.before or '', change.after or '')
            for change in changes]


def _properties(glance: adapter.Adapter, image_id: str) -> dict[str, str]:
    """Return an image's properties under the names that Glance has.

    The SDK has other names for some of them.
    """
    with refusals.of_glance():
        body = glance.get(f'/images/{image_id}').json()
    return {name: value for name, value in body.items()
            if isinstance(value, str)}


def _set(glance: adapter.Adapter, image_id: str,
         changes: tuple[tagging.Change, ...]) -> None:
    """Set all properties, or none: it is one request (RFC 6902)."""
    with refusals.of_glance():
        glance.patch(
            f'/images/{image_id}', headers={'Content-Type': _PATCH},
            data=json.dumps([_operation(change) for change in changes]))


def _operation(change: tagging.Change) -> dict[str, str]:
    path = '/' + change.name.replace('~', '~0').replace('/', '~1')
    if change.after is None:
        return {'op': 'remove', 'path': path}
    return {'op': 'add', 'path': path, 'value': change.after}
