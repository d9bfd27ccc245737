"""The words that made-up names are put together from, by locale: mimesis's lists, read once and in a fixed order.

Which pseudonym a value gets depends on these lists, so the release of mimesis is pinned. Companies are put together from last
names, as mimesis lists real ones; addresses of e-mail are in the domains that RFC 2606 keeps for examples.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

from mimesis.locales import Locale
from mimesis.providers.base import BaseDataProvider

__all__ = ["KINDS", "LOCALES", "Vocabulary", "vocabulary"]

LOCALES = tuple(locale.value for locale in Locale)


_Variants = tuple[tuple[str, tuple[Sequence[str], ...]], ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All pseudonyms of one kind: for each variant a way to put them together, and what is picked from at each place."""

    variants: _Variants
    counts: tuple[int, ...]

    @classmethod
    def of(cls, variants: _Variants) -> Vocabulary:
        return cls(variants, tuple(prod(map(len, places)) for _, places in variants))

    @property
    def size(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def __getitem__(self, index: int) -> str:
        """The pseudonym of that number, below `size`."""
        for (form, places), count in zip(self.variants, self.counts, strict=True):
            if index < count:
                words = []
                for place in places:
                    index, picked = divmod(index, len(place))
                    words.append(place[picked])
                return form.format(*words)
            index -= count
        raise IndexError


@cache
def vocabulary(kind: str, locale: str) -> Vocabulary | None:
    """That of one of `KINDS` in one of `LOCALES`; None where mimesis has too little of it."""
    made = Vocabulary.of(KINDS[kind](Locale(locale)))
    return made if made.size >= _LEAST else None


_LEAST = 20
_NUMBERS = tuple(map(str, range(10_000)))
_HOUSES = tuple(map(str, range(1, 200)))


class _People(BaseDataProvider):
    class Meta:
        name = "people"
        datafile = "person.json"

    def words(self, member: str) -> list[tuple[str, ...]]:
        """The lists of that member, of women and of men; one list, where both have the same."""
        found = self._extract([member], [])
        return [_sorted(found[gender]) for gender in ("female", "male")] if isinstance(found, dict) else [_sorted(found)]


class _Places(BaseDataProvider):
    class Meta:
        name = "places"
        datafile = "address.json"

    def words(self, *member: str) -> tuple[str, ...]:
        return _sorted(self._extract(list(member), []))

    @property
    def format(self) -> str:
        """How a street and a number are written, by the names of their parts."""
        stated = self._extract(["address_fmt"], "")
        return stated if "{st_name}" in stated and "{st_num}" in stated else "{st_num} {st_name}"


def _sorted(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({" ".join(word.split()) for word in words} - {""}))


def _union(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
    return _sorted([word for each in lists for word in each])


def _first_names(locale: Locale) -> _Variants:
    return (("{}", (_union(_People(locale).words("names")),)),)


def _last_names(locale: Locale) -> _Variants:
    return (("{}", (_union(_People(locale).words("surnames")),)),)


def _names(locale: Locale) -> _Variants:
    people = _People(locale)
    first, last = people.words("names"), people.words("surnames")
    return tuple(("{} {}", (names, last[gender % len(last)])) for gender, names in enumerate(first))


def _emails(locale: Locale) -> _Variants:
    """In ASCII: where a locale's names can't be written in it, English ones stand in."""
    people = _People(locale)
    names = [_ascii(_union(people.words(member))) for member in ("names", "surnames")]
    if not all(names):
        return _emails(Locale.EN)
    return (("{}.{}{}@{}", (*names, _NUMBERS, ("example.com", "example.net", "example.org"))),)


def _ascii(words: Sequence[str]) -> tuple[str, ...]:
    plain = (unicodedata.normalize("NFD", word.lower()).encode("ascii", "ignore").decode() for word in words)
    return _sorted([word for word in plain if word.isalpha()])


def _streets(locale: Locale) -> _Variants:
    places = _Places(locale)
    names, suffixes = places.words("street", "name"), places.words("street", "suffix")
    order = {"{st_num}": _HOUSES, "{st_name}": names, "{st_sfx}": suffixes}
    form = places.format
    used = sorted((part for part in order if part in form), key=form.index)
    for part in used:
        form = form.replace(part, "{}")
    return ((form, tuple(order[part] for part in used)),)


def _cities(locale: Locale) -> _Variants:
    return (("{}", (_Places(locale).words("city"),)),)


def _companies(locale: Locale) -> _Variants:
    names = _union(_People(locale).words("surnames"))
    return (("{} & {}", (names, names)),)


KINDS: dict[str, Callable[[Locale], _Variants]] = {
    "first_name": _first_names,
    "last_name": _last_names,
    "name": _names,
    "email": _emails,
    "street": _streets,
    "city": _cities,
    "company": _companies,
}
