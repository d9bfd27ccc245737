"""Masking methods of other distributions: by entry point of group `cdc_masker.methods`, and only those that somebody names.

What always holds: nothing of a distribution is imported because it is installed, and a name never changes its meaning: no other
method takes one of ours, and of two distributions with one name neither is taken. A class has to state each trait itself, since
policies are compared and keys are checked by them; what it does is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from cdc_masker.errors import SetupError, located
from cdc_masker.kinds import Kind
from cdc_masker.methods import METHODS, Disclosure, Method, Uniqueness
from cdc_masker.settings import PREFIX, Settings

__all__ = ["GROUP", "methods"]

GROUP = "cdc_masker.methods"


def _set_of(kind: type) -> Callable[[Any], bool]:
    return lambda stated: isinstance(stated, frozenset) and all(isinstance(each, kind) for each in stated)


def _a(kind: type) -> Callable[[Any], bool]:
    return lambda stated: isinstance(stated, kind)


_TRAITS: dict[str, Callable[[Any], bool]] = {
    "name": _a(str),
    "kinds": _set_of(Kind),
    "output": _a(str),
    "deterministic": _a(bool),
    "reversible": _a(bool),
    "length_preserving": _a(bool),
    "uniqueness": _a(Uniqueness),
    "discloses": _set_of(Disclosure),
    "needs_type": _a(bool),
}


def methods(settings: Settings) -> Mapping[str, type[Method]]:
    """Our methods, and those that the setting names. Raises `SetupError` naming the first that can't be had."""
    known = dict(METHODS)
    for name in filter(None, (each.strip() for each in settings.methods.split(","))):
        if name in known:
            raise SetupError(f"{_place(name)}: there is a method of that name already; leave it out")
        known[name] = _load(name)
    return known


def _load(name: str) -> type[Method]:
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise SetupError(
            f"{_place(name)}: no installed distribution has an entry point of that name in group {GROUP}; install one"
        )
    if len(found) > 1:
        raise SetupError(f"{_place(name)}: more than one distribution offers it: {', '.join(map(_origin, found))}; keep one")
    return _checked(name, found[0])


def _checked(name: str, point: EntryPoint) -> type[Method]:
    try:
        method = point.load()
    except Exception as error:  # noqa: BLE001  # it runs the code of others
        problem = f"can't be loaded ({located(error)})"
    else:
        wrong = _wrong(name, method)
        if wrong is None:
            return method  # type: ignore[no-any-return]  # _wrong has seen that it is a class of methods
        problem = wrong
    raise SetupError(f"{_place(name)}: {point.value} of {_origin(point)} {problem}; correct it, or leave it out")


def _wrong(name: str, method: Any) -> str | None:
    """What keeps it from being a method; None if nothing does."""
    if not (isinstance(method, type) and issubclass(method, Method) and method is not Method):
        return "is no subclass of cdc_masker.methods.Method"
    own = method.__mro__[: method.__mro__.index(Method)]
    for trait, fits in _TRAITS.items():
        stated = next((vars(each)[trait] for each in own if trait in vars(each)), None)
        if not fits(stated):
            return f"states no trait {trait!r}, or not as cdc_masker.methods.Method does"
    if method.name != name:
        return f"calls itself {method.name!r}"
    if not (method.__struct_config__.frozen and method.__struct_config__.forbid_unknown_fields):
        return "has to be frozen and to forbid unknown fields, as its base is"
    if method.compile is Method.compile:
        return "has no compile()"
    return None


def _place(name: str) -> str:
    return f"{PREFIX}METHODS names {name!r}"


def _origin(point: EntryPoint) -> str:
    return "an unnamed distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"
