# SPDX-License-Identifier: Apache-2.0
"""Whether an instance has a store: a fact of this host's record and Cinder.

The keys image_hw_armvm_* of an instance are a copy. Nova's API deletes them
at every rebuild request, before anything else is done, and nothing brings
them back when the rebuild then fails (Nova 32 to 34, compute/api.py
_reset_image_metadata). An instance without the key is not one without a
store.
"""
from nova import objects
from oslo_log import log as logging

from nova_armvm import exception
from nova_armvm.profile.handlers import nvram
from nova_armvm.profile import properties
from nova_armvm.store import store as nvram_store
from nova_armvm.virt import instances

LOG = logging.getLogger(__name__)

_PREFIX = instances.key_of('')


class Knowledge:
    """What this host and Cinder know of the stores of instances."""

    def __init__(self, stores: nvram_store.Stores,
                 refs: instances.Refs) -> None:
        self._stores = stores
        self._refs = refs

    def store(self, instance: objects.Instance) -> nvram_store.Store:
        """Return the store of an instance; it need not exist."""
        return self._stores.of(self._refs.ref(instance))

    def has_store(self, instance: objects.Instance) -> bool:
        """Return whether an instance has a store.

        Cinder is asked only where neither this host nor Nova knows.

        :raises StoreError: if Cinder has to be asked and does not say.
        """
        if not instances.is_arm(instance.image_meta):
            return False
        store = self.store(instance)
        if store.is_here() or _is_persistent(store):
            return True
        if instances.NVRAM_KEY in instance.system_metadata:
            return instances.has_store(instance)
        # One that never ran has been given none, or is about to be.
        return instance.launched_at is not None and store.find() is not None

    def may_have_store(self, instance: objects.Instance) -> bool:
        """Return whether an instance has a store, or nobody can say."""
        try:
            return self.has_store(instance)
        except exception.StoreError as error:
            LOG.warning('Failed to find out whether the instance has an '
                        'NVRAM volume; assuming that it has: %s', error,
                        instance=instance)
            return True

    def restore(self, instance: objects.Instance) -> None:
        """Put back what was decided, where Nova has lost it.

        For an instance that goes on with what it had, not for one that is
        built anew.

        :raises StoreError: if Cinder has to be asked and does not say.
        """
        if not self.has_store(instance):
            return
        decided = self._decided(instance)
        kept = {key: value for key, value in
                instance.system_metadata.items() if key.startswith(_PREFIX)}
        wanted = {instances.key_of(name): value
                  for name, value in decided.items()}
        if kept == wanted:
            return
        for key in kept:
            del instance.system_metadata[key]
        instance.system_metadata.update(wanted)
        instance.save()
        LOG.warning('Restored the properties of the image that a failed '
                    'rebuild has taken from the instance: %s',
                    ', '.join(f'{properties.IMAGE_PREFIX}{name}={value}'
                              for name, value in sorted(decided.items())),
                    instance=instance)

    def _decided(self, instance: objects.Instance) -> dict[str, str]:
        known = self.store(instance).recorded()
        if known is not None and known.hardware:
            return dict(known.hardware)
        if instances.has_store(instance):
            # Of a release that did not keep it anywhere else.
            return instances.hardware(instance).decided()
        return {'nvram': nvram.PERSISTENT,
                **self.store(instance).decided_hardware()}


def _is_persistent(store: nvram_store.Store) -> bool:
    known = store.recorded()
    return known is not None and not known.to_delete and (
        known.hardware.get('nvram') == nvram.PERSISTENT)
