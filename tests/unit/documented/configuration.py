# SPDX-License-Identifier: Apache-2.0
"""Snippets of nova.conf and tempest.conf, read as services read them."""
from collections.abc import Iterable
import functools
import pathlib
import tempfile

from keystoneauth1 import loading
from nova.conf import opts as nova_opts
from oslo_config import cfg

from nova_armvm import conf as armvm_conf
from tests.unit.documented import parsers

#: Where Nova takes the options of a plugin of keystoneauth.
_WITH_CREDENTIALS = ('cinder', 'service_user', 'keystone_authtoken')


Options = dict[str, dict[str, cfg.Opt]]


def _collected(listed: Iterable[tuple[object, Iterable[cfg.Opt]]]) -> Options:
    found: Options = {}
    for group, options in listed:
        name = getattr(group, 'name', group) or 'DEFAULT'
        for option in options:
            found.setdefault(name, {})[option.dest] = option
    return found


@functools.cache
def of_nova() -> Options:
    """Return every option of nova.conf, by its group."""
    credentials = (*loading.get_auth_common_conf_options(),
                   *loading.get_auth_plugin_conf_options('password'))
    return _collected((
        *nova_opts.list_opts(), *armvm_conf.list_opts(),
        *((group, [*options, *credentials]) for group, options
          in nova_opts.list_opts() if _name(group) in _WITH_CREDENTIALS)))


def _name(group: object) -> str:
    return getattr(group, 'name', group)


@functools.cache
def of_tempest() -> Options:
    """Return every option of tempest.conf, those of our plugin among them."""
    # Where there is no such file, there is no need of Tempest.
    from tempest import config
    plugins = parsers.entries('tempest.test_plugins').values()
    return _collected((*config.list_opts(), *(
        each for plugin in plugins
        for each in parsers.loaded(plugin)().get_opt_lists())))


def judge(text: str, options: Options) -> None:
    """Have oslo.config read a snippet.

    :param options: that there are.
    :raises Refused: there is no such option, or it has no such value.
    """
    wanted = _names(text)
    conf = cfg.ConfigOpts()
    for group, names in wanted.items():
        for name in names:
            option = options.get(group, {}).get(name.replace('-', '_'))
            if option is None:
                raise parsers.Refused(f'[{group}] has no option {name}')
            conf.register_opt(option, None if group == 'DEFAULT' else group)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / 'some.conf'
        path.write_text(text)
        try:
            conf(['--config-file', str(path)])
            for group, names in wanted.items():
                values = conf if group == 'DEFAULT' else conf[group]
                for name in names:
                    getattr(values, name.replace('-', '_'))
        except (cfg.Error, ValueError) as error:
            raise parsers.Refused(str(error)) from error


def _names(text: str) -> dict[str, list[str]]:
    """Return the names that a snippet sets, by their groups.

    :raises Refused: oslo.config would not read it.
    """
    found: dict[str, list[str]] = {}
    group = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith('[') and stripped.endswith(']'):
            group = stripped[1:-1]
            found.setdefault(group, [])
        elif stripped and not stripped.startswith('#') and line == stripped:
            name, equals, _value = stripped.partition('=')
            if group is None or not equals:
                raise parsers.Refused(f'no line of configuration: {line}')
            found[group].append(name.strip())
    return found
