# SPDX-License-Identifier: Apache-2.0
"""Where stores are kept: the volume type and the room that it has."""
import dataclasses
import typing as ty

from nova import context as nova_context
from nova.volume import cinder
from oslo_config import cfg

from nova_armvm.store import cinder as store_cinder
from nova_armvm.store import quota
from nova_armvm.virt import preflight

#: With room for fewer stores than this an operator should act.
FEW = 10


@dataclasses.dataclass(frozen=True)
class Storage:
    """What Cinder says of the place for stores.

    :ivar name: of the volume type; None where Cinder did not say.
    :ivar limits: of the project that owns the volumes.
    :ivar type_problems: what keeps the type from being used, with remedies.
    :ivar quota_problems: why no store can be made.
    """

    name: str | None
    limits: tuple[quota.Limit, ...] = ()
    type_problems: tuple[str, ...] = ()
    quota_problems: tuple[str, ...] = ()

    @property
    def stores_left(self) -> int | None:
        """Return how many stores there is room for; None: any number."""
        limit = quota.narrowest(self.limits)
        return limit.stores if limit else None


def client() -> ty.Any:
    """Return Cinder's client with the credentials of [cinder]."""
    return cinder.cinderclient(nova_context.get_admin_context())


def look(conf: cfg.ConfigOpts) -> Storage:
    """Ask Cinder.

    :param conf: nova.conf.
    :raises StoreUnreachable, StoreRefused: it does not say.
    """
    wanted = conf.armvm.nvram_volume_type
    with store_cinder.translated('look at the volume type'):
        asked = client()
        problems = tuple(preflight.type_problems(asked, wanted))
        found = preflight.volume_type(asked, wanted)
        if found is None:
            return Storage(wanted, type_problems=problems)
        limits = quota.limits(asked.quotas.get(
            asked.client.get_project_id(), usage=True).to_dict(), found.name)
    return Storage(found.name, limits, problems, _quota_problems(limits))


def _quota_problems(limits: tuple[quota.Limit, ...]) -> tuple[str, ...]:
    return tuple(
        f'The quota of the project of [cinder] has no room for another '
        f'store: {limit.name} is {limit.limit}, {limit.used} in use. Raise '
        f'it ("openstack quota set").'
        for limit in limits if limit.stores == 0)


def missing_bindings(conf: cfg.ConfigOpts) -> list[str]:
    """Return the Python modules that the volume type needs on this host.

    :param conf: nova.conf, with a volume type that look() finds no fault
        with.
    :raises StoreUnreachable, StoreRefused: if Cinder does not say.
    :raises FlashServiceUnavailable: if the flash service does not.
    """
    has_rbd = preflight.has_rbd(conf.armvm.nvramd_directory)
    with store_cinder.translated('look at the volume type'):
        return list(preflight.binding_problems(
            client(), conf.armvm.nvram_volume_type, has_rbd))
