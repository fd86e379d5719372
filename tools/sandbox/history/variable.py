# SPDX-License-Identifier: Apache-2.0
"""What one variable may be, by what its writer was told."""
from tools.sandbox.history import events

#: How many operations in a row may have been told to nobody because power
#: was lost before the console had said them.
UNHEARD = 4


class Variable:
    """The states that a variable can be in.

    An operation that was acknowledged leaves one; one that was not leaves
    the old state and the new one, until one of them is seen.

    :ivar may_be: the states; None before anything is known of it.
    """

    def __init__(self) -> None:
        self.may_be: set[events.Value] | None = None
        self._written: set[events.Value] = set()
        #: The state was seen, not only told.
        self._observed = False

    def begin(self, value: events.Value) -> None:
        """Something else is being written."""
        self._written.add(value)
        self._observed = False
        if self.may_be is not None:
            self.may_be.add(value)

    def acknowledge(self, value: events.Value) -> None:
        """The writer was told that it is written."""
        self._written.add(value)
        self._observed = False
        self.may_be = {value}

    def wrong(self, seen: events.Value, unheard: bool) -> str:
        """Judge what is seen; keep to it from then on.

        :param unheard: it is of an operation that power was lost in before
            anybody was told.
        :returns: what is wrong with it; empty if nothing is.
        """
        reason = self._reason(seen, unheard)
        if seen != events.TORN:
            self.may_be = {seen}
        return reason

    def observed(self) -> None:
        """Who comes later has seen it, and not only its writer."""
        self._observed = True

    def _reason(self, seen: events.Value, unheard: bool) -> str:
        if seen == events.TORN:
            return 'torn'
        if self.may_be is None or seen in self.may_be or unheard:
            return ''
        if seen not in self._written and seen != events.ABSENT:
            return 'never written'
        return 'came back' if self._observed else 'lost'
