# SPDX-License-Identifier: Apache-2.0
"""What tells the variables of a server from those of a file or another."""
from collections.abc import Mapping
import dataclasses
import json

from nova_armvm.cmd import nvram_show
from nova_armvm.uefi import varstore

Variables = Mapping[varstore.VariableKey, varstore.Variable]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A variable that is not the same on both sides, or on one side only."""

    key: varstore.VariableKey
    first: varstore.Variable | None
    second: varstore.Variable | None

    @property
    def what(self) -> str:
        """Return in words what is different."""
        if self.first is None:
            return 'only in the second'
        if self.second is None:
            return 'only in the first'
        return ', '.join(
            name for name in ('content', 'attributes', 'timestamp')
            if getattr(self.first, name) != getattr(self.second, name))


def compare(first: Variables, second: Variables) -> list[Difference]:
    """Return every variable that is different, in order."""
    return [Difference(key, first.get(key), second.get(key))
            for key in sorted({*first, *second})
            if first.get(key) != second.get(key)]


def as_table(found: list[Difference], first: str, second: str) -> str:
    """Show differences to a person.

    :param first: heads the column of the first side.
    :param second: heads that of the second.
    """
    if first == second:
        second += ' (second)'

    def shown(variable: varstore.Variable | None) -> str:
        return nvram_show.beginning(variable.content) if variable else '-'
    return nvram_show.table(
        # Names of columns must differ.
        ('Variable', 'Vendor', 'Difference', f'In {first}', f'In {second}'),
        [(each.key.name, each.key.guid, each.what, shown(each.first),
          shown(each.second)) for each in found])


def as_json(found: list[Difference]) -> str:
    """Show the same to a program."""
    return json.dumps([
        {'name': each.key.name, 'guid': str(each.key.guid),
         'difference': each.what,
         'first': nvram_show.variable(each.first) if each.first else None,
         'second': nvram_show.variable(each.second) if each.second else None}
        for each in found], indent=4)
