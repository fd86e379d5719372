# SPDX-License-Identifier: Apache-2.0
"""Image properties and flavor extra specs: names, values, who wins."""
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import re

from nova_armvm import exception

IMAGE_PREFIX = 'hw_armvm_'
FLAVOR_PREFIX = 'armvm:'


@dataclasses.dataclass(frozen=True)
class Property:
    """A property that Nova has no word for.

    :ivar name: without prefix; an image says ``hw_armvm_<name>``, a flavor
        ``armvm:<name>``.
    :ivar allowed: every value that it may have, as images and flavors write
        it.
    :ivar title: a few words for a form.
    :ivar description: what a tenant reads about it, in whole sentences.
    :ivar counts: the values are all whole numbers from the first to the
        last.
    :ivar pattern: a regular expression for values that are not listed.
    :ivar words: what a value that fits the pattern is.
    :ivar of_images_only: a flavor cannot ask for it.
    """

    name: str
    allowed: tuple[str, ...] = ()
    title: str = ''
    description: str = ''
    counts: bool = False
    pattern: str = ''
    words: str = ''
    of_images_only: bool = False

    @property
    def image_name(self) -> str:
        return IMAGE_PREFIX + self.name

    @property
    def flavor_name(self) -> str:
        return FLAVOR_PREFIX + self.name

    @property
    def allowed_words(self) -> str:
        """The values as a message names them."""
        if self.pattern:
            return self.words
        if self.counts:
            return f'{self.allowed[0]} to {self.allowed[-1]}'
        return ', '.join(self.allowed)

    def allows(self, value: str) -> bool:
        """Tell whether it may have a value."""
        if self.pattern:
            return re.fullmatch(self.pattern, value) is not None
        return value in self.allowed


def check_names(known: Iterable[Property], image: Mapping[str, str],
                flavor: Mapping[str, str]) -> None:
    """Refuse properties in our name space that nobody would honour.

    A machine is never started with less than was asked for, so a misspelt
    or newer property ends the request.

    :param known: every property that there is.
    :param image: properties of the image, by their full names.
    :param flavor: extra specs of the flavor, by their full names.
    :raises PropertyUnknown: for the first unknown name.
    """
    known = tuple(known)
    _check(image, IMAGE_PREFIX, {p.image_name for p in known}, 'image')
    _check(flavor, FLAVOR_PREFIX, {
        p.flavor_name for p in known if not p.of_images_only}, 'flavor')


def _check(given: Mapping[str, str], prefix: str, known: set[str],
           where: str) -> None:
    for name in sorted(given):
        if name.startswith(prefix) and name not in known:
            raise exception.PropertyUnknown(
                where=where, name=name, known=', '.join(sorted(known)))


def asked(wanted: Property, image: Mapping[str, str],
          flavor: Mapping[str, str]) -> str | None:
    """Return the value that is asked for a server, None for no word of it.

    :param wanted: the property.
    :param image: properties of the image, by their full names.
    :param flavor: extra specs of the flavor, by their full names.
    :raises PropertyInvalid: a value is not one of those allowed.
    :raises PropertyConflict: image and flavor disagree.
    """
    from_image = _allowed(wanted, image, wanted.image_name, 'image')
    if wanted.of_images_only:
        return from_image
    from_flavor = _allowed(wanted, flavor, wanted.flavor_name, 'flavor')
    if from_image and from_flavor and from_image != from_flavor:
        raise exception.PropertyConflict(
            image_name=wanted.image_name, image_value=from_image,
            flavor_name=wanted.flavor_name, flavor_value=from_flavor)
    return from_image or from_flavor


def _allowed(wanted: Property, given: Mapping[str, str], name: str,
             where: str) -> str | None:
    value = given.get(name)
    if value is not None and not wanted.allows(value):
        raise exception.PropertyInvalid(
            where=where, name=name, value=value,
            allowed=wanted.allowed_words)
    return value
