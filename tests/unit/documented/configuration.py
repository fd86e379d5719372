# SPDX-License-Identifier: Apache-2.0
"""Snippets of nova.conf and tempest.conf, read as the programs do."""
import functools
import pathlib
import tempfile

from keystoneauth1 import loading
from nova import conf as nova_conf
from nova.conf import opts as nova_opts
from oslo_config import cfg
from tempest import config as tempest_config

from nova_armvm import conf as armvm_conf
from nova_armvm_tempest_plugin import config as plugin_config
from tests.unit.documented import parsers

#: Where Nova takes the options of a plugin of keystoneauth.
_WITH_CREDENTIALS = ('cinder', 'service_user', 'keystone_authtoken')


Options = dict[str, dict[str, cfg.Opt]]


@functools.cache
def nova_options() -> Options:
    """Return every option of nova.conf, by its group."""
    armvm_conf.register_opts(nova_conf.CONF)
    found = _by_group((*nova_opts.list_opts(), *armvm_conf.list_opts()))
    for name in _WITH_CREDENTIALS:
        for option in (*loading.get_auth_common_conf_options(),
                       *loading.get_auth_plugin_conf_options('password')):
            found.setdefault(name, {})[option.name.replace('-', '_')] = option
    return found


@functools.cache
def tempest_options() -> Options:
    """Return every option of tempest.conf, with those of our plugin."""
    return _by_group((*tempest_config.list_opts(),
                      *plugin_config.list_opts()))


def _by_group(listed) -> Options:
    found: Options = {'DEFAULT': {}}
    for group, options in listed:
        name = getattr(group, 'name', group) or 'DEFAULT'
        known = found.setdefault(name, {})
        for option in options:
            known[option.name] = option
    return found


def judge(text: str, options: Options) -> None:
    """Have oslo.config read a snippet.

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
        path = pathlib.Path(scratch) / 'snippet.conf'
        path.write_text(text)
        try:
            conf(['--config-file', str(path)], project='nova')
            for group, names in wanted.items():
                values = conf if group == 'DEFAULT' else conf[group]
                for name in names:
                    getattr(values, name.replace('-', '_'))
        except (cfg.Error, ValueError) as error:
            raise parsers.Refused(str(error)) from error


def _names(text: str) -> dict[str, list[str]]:
    """Return the names that a snippet sets, by their groups.

    :raises Refused: it is no file of oslo.config.
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
                raise parsers.Refused(f'no line of oslo.config: {line}')
            found[group].append(name.strip())
    return found
