# SPDX-License-Identifier: Apache-2.0
"""What the conformance guest says on its console.

The guest prints one JSON object a line behind a mark, among all that its
firmware prints. A console is what a guest wants it to be: lines are bounded,
and what does not read as expected is passed over.
"""
import dataclasses
import json
import struct
import typing as ty

_MARK = 'ARMVM '
#: More than the longest report; a longer line is none of the guest's.
_LINE_CHARACTERS = 65536

#: The boot option that the guest makes for its own disk.
OWN_OPTION = 'Boot0040'

Event = dict[str, ty.Any]


def parse(line: str) -> Event | None:
    """Return what a line of the console says, None if it is not for us.

    :returns: a dict with at least ``event`` (str) and ``sequence`` (int).
    """
    _before, mark, text = line.partition(_MARK)
    if not mark or len(text) > _LINE_CHARACTERS:
        return None
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    if not isinstance(event.get('event'), str):
        return None
    return event if isinstance(event.get('sequence'), int) else None


def numbers(content: str) -> tuple[int, ...]:
    """Read BootOrder or BootCurrent as the guest shows it, in hexadecimal.

    :raises ValueError: it is not a list of 16-bit numbers.
    """
    raw = bytes.fromhex(content)
    try:
        return struct.unpack(f'<{len(raw) // 2}H', raw)
    except struct.error as error:
        raise ValueError(f'not 16-bit numbers: {content}') from error


@dataclasses.dataclass(frozen=True)
class Store:
    """The UEFI variables as a guest sees them at one moment.

    :ivar boot_id: tells one boot of the system from every other.
    :ivar disk: the name of the disk that was booted from.
    :ivar probe: what the guest wrote at first boot, in hexadecimal.
    :ivar boots: how often the guest has counted itself in this store.
    :ivar beat: how often it has told the time in this store.
    :ivar order: BootOrder.
    :ivar current: the option that was booted, if the firmware says so.
    :ivar options: the Boot#### variables in hexadecimal, by name.
    """

    boot_id: str
    disk: str
    probe: str
    boots: int
    beat: int
    order: tuple[int, ...]
    current: int | None
    options: dict[str, str]

    @classmethod
    def of(cls, event: Event) -> 'Store':
        """Read a report of the guest.

        :raises KeyError: a part is missing.
        :raises ValueError: a part does not read as it should.
        """
        current = numbers(event['current'])
        return cls(event['boot_id'], event['disk'], event['probe'],
                   int(event['boots'] or '0', 16),
                   int(event['beat'] or '0', 16), numbers(event['order']),
                   current[0] if current else None, dict(event['options']))

    @property
    def is_empty(self) -> bool:
        """Tell whether no guest has written to it yet."""
        return not self.probe and not self.boots and not self.beat

    def lost(self, found: 'Store') -> list[str]:
        """Name what a later boot does not find as it was left here."""
        lost = []
        if found.probe != self.probe:
            lost.append('the probe variable')
        if found.boots != self.boots:
            lost.append('the count of boots')
        if found.beat < self.beat:
            lost.append('the last beats')
        if found.options.get(OWN_OPTION) != self.options.get(OWN_OPTION):
            lost.append(OWN_OPTION)
        # Firmware may add devices behind what the guest has put in order.
        if found.order[:len(self.order)] != self.order:
            lost.append('BootOrder')
        if found.current != int(OWN_OPTION[4:], 16):
            lost.append(f'the boot from {OWN_OPTION}')
        return lost


@dataclasses.dataclass(frozen=True)
class Transcript:
    """What a guest has said since its latest boot.

    :ivar found: the store as it was when the system came up; None when the
        console begins later, as after a live migration.
    :ivar left: the same when the guest had written what it writes at a boot.
    :ivar failed: names of variables that the guest could not write.
    :ivar hardware: the machine as last seen.
    :ivar beat: as last told; 0 before the first.
    :ivar boot_id: of the boot that told it.
    """

    found: Store | None = None
    left: Store | None = None
    failed: tuple[str, ...] = ()
    hardware: Event | None = None
    beat: int = 0
    boot_id: str = ''


def read(console: str) -> Transcript:
    """Read a console, the whole of it or its end."""
    said = Transcript()
    for line in console.splitlines():
        event = parse(line)
        if event is None:
            continue
        try:
            said = _after(said, event)
        except (KeyError, ValueError, TypeError):
            # Cut off, or disturbed by a message of the kernel.
            continue
    return said


def _after(said: Transcript, event: Event) -> Transcript:
    """Return a transcript with one event more."""
    match event['event']:
        case 'boot':
            return Transcript(found=Store.of(event))
        case 'report':
            return dataclasses.replace(said, left=Store.of(event))
        case 'written' if event['result'] != 'ok':
            return dataclasses.replace(
                said, failed=(*said.failed, str(event['variable'])))
        case 'hardware':
            return dataclasses.replace(said, hardware=event)
        case 'alive' if event['result'] == 'ok':
            return dataclasses.replace(said, beat=int(event['beat'], 16),
                                       boot_id=event['boot_id'])
    return said
