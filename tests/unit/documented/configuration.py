# SPDX-License-Identifier: Apache-2.0
"""Snippets of nova.conf, read as nova-compute reads them."""
import pathlib
import tempfile

from keystoneauth1 import loading
from nova import conf as nova_conf
from oslo_config import cfg

from nova_armvm import conf as armvm_conf
from tests.unit.documented import parsers

#: Where Nova takes the options of a plugin of keystoneauth.
_WITH_CREDENTIALS = ('cinder', 'service_user', 'keystone_authtoken')


def _options() -> dict[str, dict[str, cfg.Opt]]:
    """Return every option of nova.conf, by its group."""
    armvm_conf.register_opts(nova_conf.CONF)
    found: dict[str, dict[str, cfg.Opt]] = {'DEFAULT': {}}
    for _module, groups in _listed():
        for group, options in groups:
            name = getattr(group, 'name', group) or 'DEFAULT'
            known = found.setdefault(name, {})
            for option in options:
                known[option.name] = option
    for name in _WITH_CREDENTIALS:
        for option in (*loading.get_auth_common_conf_options(),
                       *loading.get_auth_plugin_conf_options('password')):
            found.setdefault(name, {})[option.name.replace('-', '_')] = option
    return found


def _listed():
    from nova.conf import opts
    yield 'nova', [(group, list(options)) for group, options
                   in opts.list_opts()]
    yield 'nova_armvm', armvm_conf.list_opts()


_OPTIONS = _options()


def judge(text: str) -> None:
    """Have oslo.config read a snippet.

    :raises Refused: there is no such option, or it has no such value.
    """
    wanted = _names(text)
    conf = cfg.ConfigOpts()
    for group, names in wanted.items():
        for name in names:
            option = _OPTIONS.get(group, {}).get(name.replace('-', '_'))
            if option is None:
                raise parsers.Refused(f'[{group}] has no option {name}')
            conf.register_opt(option, None if group == 'DEFAULT' else group)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / 'nova.conf'
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
                raise parsers.Refused(f'no line of nova.conf: {line}')
            found[group].append(name.strip())
    return found
