"""`cdc-masker methods`: what columns can be masked with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cdc_masker import plugins
from cdc_masker.kinds import Kind
from cdc_masker.methods import Disclosure, Method
from cdc_masker.methods.base import EVERY_KIND
from cdc_masker.settings import load

__all__ = ["described", "markdown", "methods"]

_COLUMNS = ("method", "does", "takes", "gives", "equal stays equal", "unique", "length kept", "reversible", "tells")


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with the parameters of each.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As the table of the documentation.")] = False,
) -> None:
    """List the masking methods: what each does, what it takes and gives, and what its output tells."""
    known = plugins.methods(load())
    if as_json:
        print(json.dumps([described(method) for method in known.values()], indent=2))
        return
    if as_markdown:
        print(markdown(known), end="")
        return
    table = Table("method", "does", "takes", "unique", "tells", box=None, pad_edge=False)
    for method in known.values():
        facts = described(method)
        table.add_row(facts["method"], facts["does"], *(_words(facts[name]) for name in ("takes", "unique", "tells")))
    Console(width=None if Console().is_terminal else 160).print(table)


def described(method: type[Method]) -> dict[str, Any]:
    """What a method's class says about it, as JSON values."""
    return {
        "method": method.name,
        "does": _first_sentence(method),
        "takes": ["every kind"] if method.kinds == EVERY_KIND else [str(kind) for kind in Kind if kind in method.kinds],
        "gives": method.output,
        "equal stays equal": method.deterministic,
        "unique": str(method.uniqueness),
        "length kept": method.length_preserving,
        "reversible": method.reversible,
        "tells": _told(method),
        "needs type": method.needs_type,
        "parameters": _parameters(method),
    }


def markdown(known: Mapping[str, type[Method]]) -> str:
    """The two tables of docs/methods.md: what methods do, and which parameters they have."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{' --- |' * len(_COLUMNS)}"]
    parameters = ["", "| method | parameter | type | default |", "| --- | --- | --- | --- |"]
    for method in known.values():
        facts = described(method)
        lines.append(f"| `{facts['method']}` | {' | '.join(_words(facts[name]) for name in _COLUMNS[1:])} |")
        parameters += [
            f"| `{facts['method']}` | `{each['name']}` | {each['type']} | {each['default']} |".replace("|  |", "| |")
            for each in facts["parameters"]
        ]
    return "\n".join([*lines, *parameters]) + "\n"


def _told(method: type[Method]) -> list[str]:
    """In the order of the enumeration; who sees all of a value needs not be told of its parts."""
    if Disclosure.VALUE in method.discloses:
        return [Disclosure.VALUE]
    return [str(each) for each in Disclosure if each in method.discloses]


def _first_sentence(method: type[Method]) -> str:
    paragraph = " ".join((method.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.;])\s", paragraph)[0].rstrip(".;")


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) or "nothing" if isinstance(value, list) else str(value)


def _parameters(method: type[Method]) -> list[dict[str, Any]]:
    types = get_type_hints(method)
    return [
        {
            "name": each.encode_name,
            "type": _type(types[each.name]),
            "default": "required" if each.required else json.dumps(msgspec.to_builtins(each.default)),
        }
        for each in msgspec.structs.fields(method)
    ]


def _type(hint: Any) -> str:
    """A parameter's type in words."""
    if get_origin(hint) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_type(each) for each in get_args(hint) if each is not type(None))
    if get_origin(hint) in (list, tuple):
        return f"list of {_type(get_args(hint)[0])}"
    return {str: "text", int: "integer", float: "number", bool: "boolean"}.get(hint, str(hint))
