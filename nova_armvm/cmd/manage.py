# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage``: what an operator asks and does about ARM servers.

Exit status: 0 nothing (more) to look after, 1 it could not be done or was not
agreed to, 2 wrong usage, 3 there are findings.
"""
import argparse
import os
import re
import sys

from keystoneauth1 import exceptions as keystone_errors
from nova import conf as nova_conf
from nova import exception as nova_exception
from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import timeutils

from nova_armvm.cmd import compute
from nova_armvm.cmd import dialogue
from nova_armvm.cmd import host
from nova_armvm.cmd import logs
from nova_armvm.cmd import nvram_audit
from nova_armvm.cmd import nvram_parser
from nova_armvm.cmd import spec
from nova_armvm import conf as armvm_conf
from nova_armvm import exception
from nova_armvm.profile.handlers import spec as specification
from nova_armvm.store import cinder

_SECONDS = {'': 1, 's': 1, 'm': 60, 'h': 3600, 'd': 86400}


def seconds(text: str) -> int:
    """Read a time such as 90, 15m, 1h or 7d.

    :raises argparse.ArgumentTypeError: it is none.
    """
    found = re.fullmatch(r'([0-9]{1,9})([smhd]?)', text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no time; give seconds or 15m, 1h, 7d')
    return int(found[1]) * _SECONDS[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='armvm-manage', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config-file', action='append', metavar='FILE',
                        help='instead of /etc/nova/nova.conf; may be repeated')
    parser.add_argument('--config-dir', action='append', metavar='DIRECTORY',
                        help='read the *.conf in it as well')
    parser.add_argument('--debug', action='store_true',
                        help='log what is asked and answered')
    subjects = parser.add_subparsers(required=True, metavar='SUBJECT')
    stores = subjects.add_parser('nvram', help='variable stores')
    actions = stores.add_subparsers(required=True, metavar='ACTION')
    audit = actions.add_parser(
        'audit', help='find volumes and attachments that were left behind',
        description='Compare the volumes that hold UEFI variables with the '
                    'servers of the cloud.')
    audit.add_argument('--older-than', type=seconds, default=3600,
                       metavar='TIME',
                       help='leave alone what changed since (default 1h)')
    audit.add_argument('--delete', action='store_true',
                       help='remove volumes of servers that are gone and '
                            'attachments to hosts where the server is not')
    audit.add_argument('--at-most', type=int, default=50, metavar='N',
                       help='delete nothing when more volumes than this '
                            'would go (default 50)')
    audit.add_argument('--yes', action='store_true',
                       help='do not ask before --delete')
    audit.add_argument('-f', '--format', choices=('table', 'json'),
                       default='table')
    audit.set_defaults(work=_audit)
    nvram_parser.add_to(actions)
    _add_spec(subjects)
    host_command = subjects.add_parser(
        'host', help='what this host offers, and what it lacks',
        description='Tell what this compute host has for ARM servers, and '
                    'what the driver needs and does not find.')
    host_command.add_argument('-f', '--format', choices=('table', 'json'),
                              default='table')
    host_command.set_defaults(work=_host)
    return parser


def _add_spec(subjects: argparse._SubParsersAction) -> None:
    command = subjects.add_parser(
        'spec', help='how this host meets the ARM VM specification',
        description='Tell for each requirement of the VM System '
                    'Specification for ARM Processors how this compute host '
                    'meets it.')
    command.add_argument('--version', choices=specification.PROPERTY.allowed,
                         default=specification.PROPERTY.allowed[-1],
                         help='of the specification (default %(default)s)')
    command.add_argument('-f', '--format', choices=('table', 'json'),
                         default='table')
    command.set_defaults(work=_spec)


def _read_configuration(arguments: argparse.Namespace) -> cfg.ConfigOpts:
    words = [f'--config-file={path}' for path in arguments.config_file or ()]
    words += [f'--config-dir={path}' for path in arguments.config_dir or ()]
    if arguments.debug:
        words.append('--debug')
    conf = nova_conf.CONF
    armvm_conf.register_opts(conf)
    logs.prepare(conf)
    conf(words, project='nova')
    logging.setup(conf, 'armvm-manage')
    return conf


def _audit(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    volumes = cinder.StoreVolumes(
        conf.host, conf.armvm.nvram_volume_type,
        cinder.Patience(limit=60, interval=5))
    servers = compute.Cloud.from_conf(conf)
    outcome = nvram_audit.look(volumes, servers, timeutils.utcnow(),
                               arguments.older_than)
    if arguments.format == 'table' and outcome.findings:
        print(nvram_audit.as_table(outcome.findings))
    if arguments.delete and _agreed(arguments, outcome):
        nvram_audit.remove(outcome, volumes, servers, arguments.at_most,
                           dialogue.say)
    if arguments.format == 'json':
        print(nvram_audit.as_json(outcome))
    elif not outcome.findings:
        print('Nothing was left behind.')
    return dialogue.FOUND if outcome.left else dialogue.DONE


def _spec(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    rows = spec.look(conf, arguments.version)
    print(spec.as_json(rows) if arguments.format == 'json' else
          spec.as_table(rows))
    return (dialogue.FOUND if any(row.violated for row in rows) else
            dialogue.DONE)


def _host(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> int:
    report = host.look(conf)
    print(host.as_json(report) if arguments.format == 'json' else
          host.as_table(report))
    return dialogue.FOUND if report.problems else dialogue.DONE


def _agreed(arguments: argparse.Namespace,
            outcome: nvram_audit.Outcome) -> bool:
    count = sum(finding.removable for finding in outcome.findings)
    return bool(count) and dialogue.agreed(arguments,
                                           f'Remove {count} of these?')


def main() -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args()
    try:
        return arguments.work(arguments, _read_configuration(arguments))
    except (exception.ArmVMError, cfg.Error,
            nova_exception.NovaException) as error:
        dialogue.complain('armvm-manage', error)
    except keystone_errors.ClientException as error:
        dialogue.complain('armvm-manage', 'cannot log in with the '
                          f'credentials of [cinder]: {error}')
    except KeyboardInterrupt:
        dialogue.complain('armvm-manage', 'interrupted; what was not done yet '
                          'was left as it is')
    except BrokenPipeError:
        # Who read the output has seen enough; Python would complain of it
        # once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return dialogue.FAILED


if __name__ == '__main__':
    sys.exit(main())
