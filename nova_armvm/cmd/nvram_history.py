# SPDX-License-Identifier: Apache-2.0
"""The versions of a store as a person or a program wants to see them."""
from collections.abc import Iterable
import datetime
import json

from nova_armvm.cmd import nvram_show
from nova_armvm.store import change


def as_table(entries: Iterable[change.Entry]) -> str:
    """Show each version in a line."""
    return nvram_show.table(
        ('Version', 'Time (UTC)', 'Reason', 'Epoch', 'Variables'),
        [(entry.version.sequence, _time(entry.version.time, ' ') or '-',
          entry.version.reason, entry.version.epoch,
          '-' if entry.variables is None else entry.variables)
         for entry in entries])


def as_json(entries: Iterable[change.Entry]) -> str:
    """Show the same to a program."""
    return json.dumps([
        {'version': entry.version.sequence,
         'time': _time(entry.version.time, 'T'),
         'reason': entry.version.reason, 'epoch': entry.version.epoch,
         'variables': entry.variables, 'sha256': entry.version.sha256}
        for entry in entries], indent=4)


def _time(seconds: float, separator: str) -> str | None:
    """Return a time in UTC, None for one that no calendar has."""
    try:
        found = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return found.replace(tzinfo=None).isoformat(separator, 'seconds')
