"""Columns with rules for their parts: paths applied to JSON text, native arrays, maps and structs.

A walk goes down the value and the automaton of the column's paths side by side and puts the masked text together from slices
of the raw one, so that kept parts stay byte by byte what they were. What no path names and no `keep` for the whole column
covers is not there: members are left out, elements of arrays and scalars on the way become null.

- `free` walks JSON that only describes itself, strings that hold JSON included where a path goes on into them.
- `typed` compiles what a schema describes along its type, so that the output fits a type and that type is known; what has to
  stay is redacted by its type.

What can't be read safely raises `Unmaskable`, and the whole column is redacted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from cdc_masker import methods, paths
from cdc_masker.errors import PolicyError
from cdc_masker.methods import Context, Keys, Method, Rewrite, Transform, redaction
from cdc_masker.methods.constant import DropColumn, KeepValue, Null
from cdc_masker.nested.free import Describe, Masks, Walk, check
from cdc_masker.nested.typed import Typed, has_parts, is_text
from cdc_masker.paths import Decision, Path, State
from cdc_masker.policies import Domain, Rule
from cdc_masker.schemas import Type, from_postgres

__all__ = ["Parts", "compile_parts", "parts"]

_NAME = Type(base="string")


@dataclass(frozen=True, slots=True)
class Parts:
    """The rules about parts of one column, checked. `states` refer to `rules` and their `methods` by index."""

    rules: tuple[Rule, ...]
    methods: tuple[Method, ...]
    states: tuple[State, ...]
    type: Type | None


def parts(rules: Sequence[Rule], known: Mapping[str, type[Method]], domains: Mapping[str, Domain]) -> Parts:
    """From all rules of one column, with the methods that there are and the domains that the policy declares.

    Raises `PolicyError` when they can't be carried out or contradict each other.
    """
    named = [(rule, paths.parse(rule.path, rule.place)) for rule in rules if rule.path is not None]
    for rule in rules:
        if rule.path is None and rule.method != KeepValue.name:
            raise PolicyError(rule.place, "beside rules with a path, a rule for the whole column can only keep the rest")
    built = tuple(_method(rule, path, known, domains) for rule, path in named)
    decisions = [
        Decision(path, isinstance(method, KeepValue), rule.place) for (rule, path), method in zip(named, built, strict=True)
    ]
    states = paths.automaton(decisions, keep_rest=len(named) < len(rules))
    return Parts(tuple(rule for rule, _ in named), built, states, _declared(rules))


def compile_parts(parts: Parts, type_: Type | None, describe: Describe, keys: Keys) -> Transform:
    """The transform of a column of that type; a redaction, if values of the type have no parts."""
    walk = Walk(parts.states, Masks(parts.rules, parts.methods, describe, keys))
    if type_ is None:
        return Rewrite(walk.column, None)
    if not has_parts(type_):
        return redaction(type_)
    if is_text(type_):
        return Rewrite(walk.column, redaction(type_).type)
    visit, output = Typed(walk).compile(type_, 0)
    redacted = orjson.dumps(redaction(output).value)

    def rewrite(text: bytes, context: Context) -> bytes:
        check(text)
        masked = visit(text, context)
        return redacted if masked is None else masked

    return Rewrite(rewrite, output)


def _method(rule: Rule, path: Path, known: Mapping[str, type[Method]], domains: Mapping[str, Domain]) -> Method:
    method = methods.build(rule, known)
    if path.of_names and isinstance(method, Null | DropColumn):
        raise PolicyError(rule.place, "a name can't be null or dropped; use redact")
    method.check(rule.place, _NAME if path.of_names else None, domains)
    return method


def _declared(rules: Sequence[Rule]) -> Type | None:
    """The column's type, as its rules state it."""
    stated = [rule for rule in rules if rule.type is not None]
    if len({rule.type for rule in stated}) > 1:
        raise PolicyError(stated[0].place, "type is the column's; all rules of one column have to state the same")
    for rule in stated[:1]:
        type_ = from_postgres(rule.type or "")
        if type_ is None or not has_parts(type_):
            raise PolicyError(rule.place, f"a column of type {rule.type!r} has no parts that are known; leave path out")
        return type_
    return None
