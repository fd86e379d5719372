# SPDX-License-Identifier: Apache-2.0
"""Where documented commands are run in the sandbox, and what they find.

A page says it in a comment above the block: ``.. documented: admin``, or
``.. documented: host, status 3`` where a command may end with that status.
"""
import dataclasses
import pathlib
import re

from tools.documented import blocks

#: As an administrator, as an ordinary user, as root on a compute host that
#: has the driver.
ADMIN, TENANT, HOST = PLACES = ('admin', 'tenant', 'host')

#: The names that pages use. The first page makes the images, the server and
#: the volume.
IMAGES = ('my-image', 'debian-12-arm64')
SERVER, VOLUME, VOLUME_TYPE = 'my-server', 'my-volume', 'my-nvram-type'
FLAVOR, FILE = 'm1.small', 'my-image.qcow2'
FIRST_PAGE = 'doc/source/user.rst'

_STATUS = re.compile(r'status (\d+)')


@dataclasses.dataclass(frozen=True)
class Scene:
    """A block that is run.

    :ivar place: one of PLACES.
    :ivar statuses: that its commands may end with.
    """

    block: blocks.Block
    place: str
    statuses: frozenset[int]


def scene(block: blocks.Block) -> Scene | None:
    """Return how a block is run, None if it is not."""
    place, _comma, rest = block.note.partition(',')
    if place not in PLACES:
        return None
    return Scene(block, place, frozenset(
        [0, *map(int, _STATUS.findall(rest))]))


def _scenes(page: pathlib.Path) -> list[Scene]:
    found = map(scene, blocks.of_page(page))
    return [each for each in found if each is not None]


def first() -> list[Scene]:
    """Return the blocks that make what the others expect."""
    return _scenes(blocks.TOP / FIRST_PAGE)


def independent() -> list[list[Scene]]:
    """Return the blocks of all other pages, those of one page together.

    Pages that do something to the server come one after the other.
    """
    with_server: list[Scene] = []
    found = [with_server]
    for page in blocks.pages():
        if str(page.relative_to(blocks.TOP)) == FIRST_PAGE:
            continue
        scenes = _scenes(page)
        if any(SERVER in each.block.text for each in scenes):
            with_server += scenes
        else:
            found.append(scenes)
    return [scenes for scenes in found if scenes]
