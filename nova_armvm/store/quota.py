# SPDX-License-Identifier: Apache-2.0
"""How many more stores the service project's quota has room for."""
from collections.abc import Mapping
import dataclasses
import typing as ty

from nova_armvm.store import cinder

_UNLIMITED = -1


@dataclasses.dataclass(frozen=True)
class Limit:
    """One of the limits that a new store counts against.

    :ivar name: Cinder's, as ``volumes`` or ``gigabytes_<type>``.
    :ivar limit: None for none.
    :ivar used: what counts against it already, reservations included.
    """

    name: str
    limit: int | None
    used: int

    @property
    def stores(self) -> int | None:
        """Return how many stores it leaves room for; None: any number."""
        if self.limit is None:
            return None
        each = cinder.VOLUME_GIB if self.name.startswith('gigabytes') else 1
        return max(0, self.limit - self.used) // each


def limits(quotas: Mapping[str, ty.Any],
           volume_type: str | None) -> tuple[Limit, ...]:
    """Read what Cinder says of a project's quota.

    :param quotas: of Cinder's os-quota-sets, with usage.
    :param volume_type: name of the type of the volumes.
    """
    names = ['volumes', 'gigabytes']
    if volume_type is not None:
        names += [f'{name}_{volume_type}' for name in names]
    found = []
    for name in names:
        known = quotas.get(name)
        if isinstance(known, Mapping):
            limit = int(known['limit'])
            found.append(Limit(
                name, None if limit == _UNLIMITED else limit,
                int(known['in_use']) + int(known.get('reserved', 0))))
    return tuple(found)


def narrowest(found: tuple[Limit, ...]) -> Limit | None:
    """Return the limit that is reached first; None where there is none."""
    limited = [limit for limit in found if limit.limit is not None]
    return min(limited, key=lambda limit: limit.stores, default=None)
