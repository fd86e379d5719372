# SPDX-License-Identifier: Apache-2.0
"""The demo's operations on a server that stays on its host."""
from collections.abc import Callable
import mmap
import pathlib
import tempfile

from tools.sandbox import admin
from tools.sandbox import cloud
from tools.sandbox import config
from tools.sandbox.guest import console
from tools.sandbox import process
from tools.sandbox import readings
from tools.sandbox import stories

#: Properties with which the rescue system comes as a disk more (Nova's
#: stable device rescue).
_STABLE = {'hw_rescue_device': 'disk', 'hw_rescue_bus': 'virtio'}


def rescue(story: stories.Story, attached: Callable[[], None]) -> None:
    """Rescue and back, in both ways that Nova has.

    :param attached: checks where the volume is attached.
    """
    for step, properties in (('rescue', {}),
                             ('stable device rescue', _STABLE)):
        picture = story.tenant.image(
            stories.RESCUE, {**cloud.PERSISTENT, **properties})

        def begin() -> tuple[str, bool]:
            story.server.console.skip()
            story.server.rescue(picture)
            return story.fresh(stories.RESCUE)
        story.check(step, 'disk R, a store of its own', begin)
        story.again(f'unrescue from the {step}', story.server.unrescue,
                    stories.DISK_A)
    attached()


def devices(story: stories.Story, attached: Callable[[], None]) -> None:
    """A disk comes and goes while the guest runs, and while it is off.

    :param attached: checks where the volume is attached.
    """
    server = story.server
    disk = story.tenant.volume('a disk more')
    story.again('attach a disk', lambda: server.attach(disk),
                stories.DISK_A, boots=False)
    story.again('hard reboot with it', lambda: server.reboot('HARD'),
                stories.DISK_A)
    story.again('detach it', lambda: server.detach(disk), stories.DISK_A,
                boots=False)
    attached()


def rebuild(story: stories.Story, operator: admin.Operator,
            write: Callable[[], tuple[str, bool]]) -> None:
    """Begin again from the image, with the same volume.

    :param write: lets the guest write again.
    """
    before = [volume.id for volume in operator.store_volumes(story.server.id)]

    def begin() -> tuple[str, bool]:
        story.server.console.skip()
        story.server.rebuild(story.tenant.image(stories.DISK_A,
                                                cloud.PERSISTENT))
        words, empty = story.fresh(stories.DISK_A)
        after = [volume.id for volume
                 in operator.store_volumes(story.server.id)]
        return (f'{words}, {"the same volume" if after == before else after}',
                empty and after == before)
    story.check('rebuild', 'an empty store, the same volume', begin)
    story.written = None
    story.check('the guest writes after it', 'everything there', write)


def snapshot(story: stories.Story, operator: admin.Operator) -> None:
    """What the guest wrote is in no image of the server (FW-2)."""
    server = story.server
    for step, take in (('snapshot', server.snapshot),
                       ('backup', server.backup)):
        story.check(step, 'not in it, what the guest wrote',
                    lambda: _without_store(story, operator, take()))
    story.again('after both', lambda: None, stories.DISK_A, boots=False)


def _without_store(story: stories.Story, operator: admin.Operator,
                   image_id: str) -> tuple[str, bool]:
    """Look for what the guest wrote, in the image and on the volume."""
    wanted = story.written.probe
    volume = operator.store_volumes(story.server.id)[0]
    on_volume = readings.by_our_parser(volume.id)[console.PROBE]
    with tempfile.NamedTemporaryFile() as raw:
        process.run('qemu-img', 'convert', '-O', 'raw',
                    config.IMAGES / image_id, raw.name, log='images')
        found = _count(pathlib.Path(raw.name), wanted)
    ours = story.tenant.properties_of_ours(image_id)
    story.tenant.delete_image(image_id)
    return (f'{found} times in the image, on the volume: '
            f'{"yes" if on_volume == wanted.hex() else "NO"}; '
            f'properties {", ".join(ours)}',
            not found and on_volume == wanted.hex() and
            ours == list(cloud.PERSISTENT))


def _count(path: pathlib.Path, content: bytes) -> int:
    with open(path, 'rb') as stream, mmap.mmap(
            stream.fileno(), 0, access=mmap.ACCESS_READ) as every:
        count, place = 0, every.find(content)
        while place >= 0:
            count, place = count + 1, every.find(content, place + 1)
        return count
