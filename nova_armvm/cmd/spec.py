# SPDX-License-Identifier: Apache-2.0
"""``armvm-manage spec``: how this host meets the ARM VM specification."""
from collections.abc import Iterable
import json

from oslo_config import cfg
import prettytable

from nova_armvm.cmd import hypervisor
from nova_armvm.profile import requirements
from nova_armvm.virt import host_offers


def look(conf: cfg.ConfigOpts, version: str) -> tuple[requirements.Row, ...]:
    """Ask this host's libvirt.

    :param conf: nova.conf, of a compute host.
    :param version: of the specification.
    :raises HypervisorUnreachable: there is no libvirt here.
    """
    with hypervisor.connected(conf) as connection:
        offers = host_offers.ask(connection, conf.libvirt.virt_type)
    return requirements.rows(offers, version)


def as_table(rows: Iterable[requirements.Row]) -> str:
    """Return rows for reading."""
    table = prettytable.PrettyTable(
        ['Id', 'Level', 'Requirement', 'On this host', 'By'])
    table.align = 'l'
    for row in rows:
        table.add_row([row.requirement.id, row.requirement.level,
                       row.requirement.text, row.answer.outcome.value,
                       row.answer.by])
    return table.get_string()


def as_json(rows: Iterable[requirements.Row]) -> str:
    """Return rows for programs: a list of objects."""
    return json.dumps([
        {'id': row.requirement.id, 'level': row.requirement.level,
         'requirement': row.requirement.text,
         'outcome': row.answer.outcome.value, 'by': row.answer.by}
        for row in rows], indent=4)
