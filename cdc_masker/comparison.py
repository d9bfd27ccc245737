"""What changes from one policy to another, column by column, and whether it masks less.

A change is *stronger* or *equal* only if that can be told from what the methods say of themselves; whatever can't be compared
counts as *weaker*, so that a person looks at it. Columns are those that a rule of either policy names, one made-up column for
each pattern and each two patterns that meet, and one that no rule names for each table with a default of its own; and those
named for any server once more, on a made-up server for each pattern about them that is for some servers only.

Two policies differ in nothing exactly if their digests are equal. That both are sound, `engine.check` has to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

import msgspec

from cdc_masker import methods, steady
from cdc_masker.lookup import Group, Lookup, Table, matches, overlap
from cdc_masker.methods import METHODS, Column, Disclosure, Method, redaction
from cdc_masker.methods.constant import DropColumn, KeepValue, Redact
from cdc_masker.policies import ANY_SERVER, Domain, EnvelopeShape, Policy, Rule
from cdc_masker.schemas import Type, from_postgres

__all__ = ["Difference", "Verdict", "compare", "decided", "in_words", "weakenings"]


class Verdict(StrEnum):
    """Whether the new policy tells more than the old one."""

    WEAKER = "weaker"
    STRONGER = "stronger"
    EQUAL = "equal"


@dataclass(frozen=True, slots=True)
class Difference:
    """One change, in words: what it is about, what was decided there, and what is now.

    `first`: no rule was ever about the column, and now one masks it, in no domain that other columns were in before.
    `breaks_schema`: the column leaves the masked rows, comes back, or gets another type, so that a topic which was begun under
    the old policy can't go on under the new one.
    """

    place: str
    before: str
    after: str
    verdict: Verdict
    first: bool = False
    breaks_schema: bool = False


Registry = Mapping[str, type[Method]]


def compare(old: Policy, new: Policy, known: Registry = METHODS, also: Iterable[Rule] = ()) -> list[Difference]:
    """All differences, in the order of their places; of sound policies, made of the methods `known`.

    Columns that the rules `also` are about are looked at, too, and are not masked for the first time.
    """
    found = [
        *_columns(old, new, known, also),
        *_defaults(old, new),
        *_domains(old, new),
        *_headers(old, new),
        *_topics(old, new),
        *_keys(old, new),
    ]
    if not found and old.digest != new.digest:  # rules that others hide came or went
        found = [Difference("rules that decide nothing", str(len(old.rules)), str(len(new.rules)), Verdict.EQUAL)]
    return sorted(found, key=lambda difference: (difference.place, difference.after))


def weakenings(old: Policy, new: Policy, earlier: Iterable[Rule], known: Registry = METHODS) -> list[Difference]:
    """The differences for which somebody has to give a reason: what is weaker, but for the first mask of a column.

    `earlier`: all rules that were ever in force before. A column that one of them was about is not masked for the first time.
    """
    found = compare(old, new, known, earlier)
    return [each for each in found if each.verdict is Verdict.WEAKER and not each.first]


def in_words(group: Group, default: str = "redact") -> str:
    """What rules with one target, or the default, decide: for people."""
    if not group:
        return f"undecided ({default})"
    whole = [_rule_in_words(rule) for rule in group if rule.path is None]
    parts = [f"{rule.path} {_rule_in_words(rule)}" for rule in group if rule.path is not None]
    said = "; ".join([*parts, *(f"the rest {each}" if parts else each for each in whole)])
    return f"{said} by {_place(group[0])}" if group[0].pattern else said


def _rule_in_words(rule: Rule) -> str:
    said: dict[str, Any] = {**rule.params}
    said |= {name: True for name in ("strict", "allow_small_domain", "allow_uniqueness_loss") if getattr(rule, name)}
    said |= {name: getattr(rule, name) for name in ("type", "classification") if getattr(rule, name) is not None}
    arguments = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in said.items())
    return f"{rule.method}({arguments})"


def _columns(old: Policy, new: Policy, known: Registry, also: Iterable[Rule]) -> Iterator[Difference]:
    before, after = Lookup(old), Lookup(new)
    domains = {rule.params.get("domain") for rule in old.rules} - {None}
    also = list(also)
    named = {rule.target[:4] for rule in also if not rule.pattern}
    shapes = list({rule.target[:4]: rule for rule in also if rule.pattern}.values())

    def was_decided(table: Table, column: str) -> bool:
        return any((server, table.schema, table.name, column) in named for server in (table.server, ANY_SERVER)) or any(
            matches(shape, table, column) for shape in shapes
        )

    for place, table, column in _places([*old.rules, *new.rules, *also]):
        one, other = before.rules(table, column), after.rules(table, column)
        if decided(one) == decided(other):
            continue
        default_before, default_after = before.default(table), after.default(table)
        yield Difference(
            place,
            in_words(one, default_before),
            in_words(other, default_after),
            _verdict(one, other, known),
            first=not one
            and default_before != "quarantine"
            and not any(_shows_all(rule, known) or rule.params.get("domain") in domains for rule in other)
            and not was_decided(table, column),
            breaks_schema=_breaks(one, default_before, other, default_after, known),
        )


def _places(about: Iterable[Rule]) -> Iterator[tuple[str, Table, str]]:
    """Columns that policies with these rules may decide differently: what to call each, its table and its name."""
    rules = {(rule.pattern, rule.target[:4]): rule for rule in about}
    named, shapes = ([rule for rule in rules.values() if rule.pattern is pattern] for pattern in (False, True))
    for rule in named:
        yield _place(rule), Table(rule.server, rule.schema, rule.table, ""), rule.column
    for shape in [each for each in shapes if each.server != ANY_SERVER]:
        server, *_ = overlap(shape, shape) or shape.target
        for rule in [each for each in named if each.server == ANY_SERVER]:
            on_server = Table(server, rule.schema, rule.table, "")
            if matches(shape, on_server, rule.column):
                yield f"{_place(rule)} on server {shape.server}, where {_place(shape)} matches", on_server, rule.column
    for rule in shapes:
        server, schema, table, column = overlap(rule, rule) or rule.target[:4]
        yield _place(rule), Table(server, schema, table, ""), column
    for one, two in combinations(shapes, 2):
        if (names := overlap(one, two)) is not None:
            both = " and ".join(sorted((_place(one), _place(two))))
            yield f"columns that match both {both}", Table(*names[:3], ""), names[3]


def _place(rule: Rule) -> str:
    """The column that a rule is about, or the pattern that it is."""
    return rule.place.removeprefix("rule ").removesuffix(rule.path or "")


def decided(group: Group) -> list[Rule]:
    """What a group's rules decide, for whatever reason."""
    return [msgspec.structs.replace(rule, reason=None, ticket=None) for rule in group]


def _shows_all(rule: Rule, known: Registry) -> bool:
    return Disclosure.VALUE in methods.build(rule, known).discloses


def _drops(group: Group, default: str) -> bool:
    return default == "drop" if not group else group[0].method == DropColumn.name and group[0].path is None


def _verdict(before: Group, after: Group, known: Registry) -> Verdict:
    if not _no_weaker(after, before, known):
        return Verdict.WEAKER
    return Verdict.EQUAL if _no_weaker(before, after, known) else Verdict.STRONGER


def _no_weaker(one: Group, other: Group, known: Registry) -> bool:
    """Whether what `one` decides tells no more than what `other` does, for any value. Without rules all is redacted."""
    ours, theirs = _by_path(one, known), _by_path(other, known)
    if not _accepted(one) <= _accepted(other):
        return False
    rest, their_rest = ours.get(None, _REDACTED), theirs.get(None, _REDACTED)
    if set(theirs) == {None} and isinstance(their_rest, KeepValue):
        return True
    if set(ours) - {None} and set(theirs) <= {None}:
        return False  # which members there are was not told before
    every = [*theirs.values(), their_rest]
    return (
        rest.no_weaker_than(their_rest)
        and all(rest.no_weaker_than(theirs[path]) for path in theirs.keys() - ours.keys())
        and all(
            method.no_weaker_than(each)
            for path, method in ours.items()
            for each in ([theirs[path]] if path in theirs else every)  # a path that they had may lie on the way of this one
        )
    )


def _by_path(group: Group, known: Registry) -> dict[str | None, Method]:
    return {rule.path: methods.build(rule, known) for rule in group}


def _accepted(group: Group) -> set[str]:
    """What somebody had to accept for it."""
    return {name for name in ("allow_small_domain", "allow_uniqueness_loss") for rule in group if getattr(rule, name)}


def _breaks(before: Group, default_before: str, after: Group, default_after: str, known: Registry) -> bool:
    """Whether the column leaves the rows, comes back, or is certain to be of another type, if it is of one that is stated."""
    if _drops(before, default_before) != _drops(after, default_after):
        return True
    stated = {rule.type for rule in (*before, *after) if rule.path is None and rule.type is not None}
    return not all(steady.alike(_output(before, name, known), _output(after, name, known)) for name in stated)


def _output(group: Group, name: str, known: Registry) -> Type | None:
    """The type of what comes out of a column of the PostgreSQL type `name`, if the rules tell it."""
    type_ = from_postgres(name)
    if type_ is None or any(rule.path is not None for rule in group):
        return None
    for rule in group:
        method = methods.build(rule, known)
        if methods.fits(method, type_, few=rule.allow_small_domain):
            return steady.output(method.compile(Column(place=rule.place, type=type_, domain=""), steady.NoKeys()), type_)
    return redaction(type_).type


def _defaults(old: Policy, new: Policy) -> Iterator[Difference]:
    before, after = ({(each.server, each.schema, each.table): each for each in policy.tables} for policy in (old, new))
    for target in sorted(before.keys() | after.keys()):
        one, other = (each[target].default if target in each else "redact" for each in (before, after))
        if one != other or (target in before) != (target in after):
            place = f"default of {'' if target[0] == ANY_SERVER else target[0] + ':'}{target[1]}.{target[2]}"
            yield Difference(place, one, other, Verdict.WEAKER, breaks_schema="drop" in (one, other) and one != other)


def _domains(old: Policy, new: Policy) -> Iterator[Difference]:
    """A domain with keys for each subject tells less than one without; of other forms that can't be said. Where no rule was in
    it, or none is now, nothing is told otherwise than before.
    """
    was_used, is_used = ({rule.params.get("domain") for rule in policy.rules} for policy in (old, new))
    before, after = ({each.name: each for each in policy.domains} for policy in (old, new))
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name, Domain(name=name)), after.get(name, Domain(name=name))
        if before.get(name) == after.get(name):
            continue
        same_form = (one.type, one.fold_case) == (other.type, other.fold_case)
        verdict = Verdict.WEAKER
        if name not in was_used & is_used:
            verdict = Verdict.EQUAL
        elif same_form and one.per_subject <= other.per_subject:
            verdict = Verdict.STRONGER if one.per_subject < other.per_subject else Verdict.EQUAL
        yield Difference(f"domain {name}", _domain_in_words(before.get(name)), _domain_in_words(after.get(name)), verdict)


def _domain_in_words(domain: Domain | None) -> str:
    if domain is None:
        return "not declared"
    said = [f"type {domain.type}"] if domain.type else []
    return ", ".join([*said, *(name for name in ("fold_case", "per_subject") if getattr(domain, name))]) or "declared"


def _headers(old: Policy, new: Policy) -> Iterator[Difference]:
    for name in {*new.headers} - {*old.headers}:
        yield Difference(f"header {name}", "left out", "let through", Verdict.WEAKER)
    for name in {*old.headers} - {*new.headers}:
        yield Difference(f"header {name}", "let through", "left out", Verdict.STRONGER)


def _topics(old: Policy, new: Policy) -> Iterator[Difference]:
    """Which rules are for a topic's records changes with its shape, so any change wants a look."""
    before, after = ({each.topic: each for each in policy.envelopes} for policy in (old, new))
    for topic in sorted(before.keys() | after.keys()):
        one, other = (None if topic not in each else _shape(each[topic]) for each in (before, after))
        if one != other:
            yield Difference(f"topic {topic}", _topic_in_words(one), _topic_in_words(other), Verdict.WEAKER)


def _shape(envelope: EnvelopeShape) -> EnvelopeShape:
    """What it says, for whatever reason."""
    return msgspec.structs.replace(envelope, reason=None, ticket=None)


def _topic_in_words(envelope: EnvelopeShape | None) -> str:
    if envelope is None:
        return "debezium"
    server = f"{envelope.server}:" if envelope.server else ""
    return envelope.shape if envelope.table is None else f"{envelope.shape} of {server}{envelope.schema}.{envelope.table}"


def _keys(old: Policy, new: Policy) -> Iterator[Difference]:
    if old.key_epoch != new.key_epoch:
        yield Difference("keys", f"epoch {old.key_epoch}", f"epoch {new.key_epoch}", Verdict.EQUAL)


_REDACTED = Redact()
