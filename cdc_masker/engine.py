"""Policy + layout → plan, and the plan applied to a row: the inner loop.

An `Engine` is one policy with its keys. For a table and a column layout it compiles a `RowPlan` (`cdc_masker.plans` keeps
them): for each column the text that goes before it and a function from raw JSON text to masked JSON text. A column's
decision is, in this order: the rule that names it, or the rules that name its parts (`cdc_masker.nested`); for a key column, a
token in a domain of its own, so that rows keep their identity; the default, which redacts. A method that can't work on the
column's real type is a redaction, too, and so is a value that it can't take, unless the rule is `strict`.

The key, the images and the headers of a record go through plans made from the same decisions, so that equal columns agree. A
rule under which different rows could get the same key, or one row several, is refused as soon as a record shows its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import orjson

from cdc_masker import methods, nested, rules
from cdc_masker.codecs.connect import Layout
from cdc_masker.codecs.json import Members
from cdc_masker.errors import InputError, PolicyError, Reason
from cdc_masker.guard import MaskedColumn
from cdc_masker.methods import (
    METHODS,
    UNCHANGED,
    Column,
    Compute,
    Constant,
    Context,
    Contextual,
    Drop,
    Keep,
    Keys,
    Method,
    Misfit,
    Rewrite,
    Transform,
    Uniqueness,
    Unmaskable,
    redaction,
)
from cdc_masker.methods.constant import DropColumn
from cdc_masker.methods.token import Tokenize
from cdc_masker.nested import Parts
from cdc_masker.policies import ANY_SERVER, Domain, Policy, Rule
from cdc_masker.schemas import Type, from_postgres

__all__ = ["Engine", "RowPlan", "Table", "check"]

_UNDECIDED = "undecided columns of keys"
_SPECIAL_HEADERS = re.compile(r"__debezium\.(new|old)key|cdc-masker")

Cell = Callable[[bytes, Context], bytes]
Registry = Mapping[str, type[Method]]


class Table(NamedTuple):
    """The table that a record is about, and its topic. Names as in `source`; all empty if only the topic is known."""

    server: str
    schema: str
    name: str
    topic: str


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What is done to the rows of one layout. `transforms` says it for each column, for whoever describes the output.

    `kept` and `masked` are what the egress guard is told of it. `undecided` are the columns that no rule decides, or whose
    rule's method does not fit the type that came: drift, for people to see. `collapsed` are the columns of the key in which a
    constant stands, so that different rows get the same key. `cells` lack the columns that are dropped, `width` counts them.
    """

    transforms: dict[str, Transform]
    width: int
    cells: tuple[tuple[str, bytes, Cell | None], ...] = field(repr=False)
    kept: frozenset[str]
    masked: tuple[MaskedColumn, ...] = field(repr=False)
    undecided: frozenset[str]
    collapsed: frozenset[str]

    def apply(self, row: Members, place: str, context: Context) -> bytes:
        """The masked row as JSON text; `context` is its record's. Raises `InputError` when the row has other columns than the
        layout, or a value that a strict rule can't take.
        """
        if len(row) != self.width:
            raise InputError(Reason.SCHEMA_MISMATCH, place)
        context.place, context.row = place, row
        try:
            texts = [
                head + row[name] if cell is None else head + cell(bytes(row[name]), context) for name, head, cell in self.cells
            ]
        except KeyError:
            raise InputError(Reason.SCHEMA_MISMATCH, place) from None
        return b"{" + b",".join(texts) + b"}"


def check(policy: Policy, known: Registry = METHODS) -> None:
    """Raises `PolicyError` naming the first rule that can't be carried out with the methods that there are."""
    _decisions(policy, known)
    rules.check([(rule, methods.build(rule, known)) for rule in policy.rules])
    for domain in policy.domains:
        if domain.type is not None and from_postgres(domain.type) is None:
            raise PolicyError(f"domain {domain.name}", f"type {domain.type!r} is no PostgreSQL type that is known")
    for header in policy.headers:
        if _SPECIAL_HEADERS.fullmatch(header):
            raise PolicyError(f"header {header}", "is written by cdc-masker itself and can't be let through")


class Engine:
    """One policy, ready to mask. Raises `PolicyError` and `KeyringError` when it can't be carried out."""

    def __init__(self, policy: Policy, keys: Keys, known: Registry = METHODS) -> None:
        check(policy, known)
        self._known = known
        self._decisions = _decisions(policy, known)
        self._keys = keys
        self._epoch = policy.key_epoch
        self._domains = {domain.name: domain for domain in policy.domains}
        self._tables_by_topic = _tables_by_topic(policy.rules)
        self._stated = {each.topic: each for each in policy.envelopes if each.table is not None}
        for decision in self._decisions.values():  # a key that is missing is found now, not at the first event that needs it
            self._compile(decision, None)
        # So is the one for undecided columns of keys.
        Tokenize().compile(Column(place="", type=None, domain=_UNDECIDED, epoch=self._epoch), keys)

    def compile(self, table: Table, layout: Layout, key: frozenset[str], passing: frozenset[str] = frozenset()) -> RowPlan:
        """The plan for rows of `table` with the columns of `layout`, of which `key` are the columns of the record's key.

        Names that are `passing` are no columns, unless a rule names them: they are kept. Raises `InputError` when the key has a
        column whose rule is not fit for a key.
        """
        for name in key:
            self._check_key(table, name, key)
        transforms = {name: self._decide(table, name, type_, name in key, name in passing) for name, type_ in layout}
        cells = tuple(
            (name, orjson.dumps(name) + b":", _cell(name, transform, strict=self._strict(table, name)))
            for name, transform in transforms.items()
            if not isinstance(transform, Drop)
        )
        kept = frozenset(name for name, transform in transforms.items() if isinstance(transform, Keep))
        masked = tuple(
            MaskedColumn(
                name,
                not (isinstance(each, Rewrite) or (isinstance(each, Compute | Contextual) and each.may_return_input)),
            )
            for name, each in transforms.items()
            if name not in kept
        )
        columns = ((name, type_) for name, type_ in layout if name not in passing)
        undecided = frozenset(name for name, type_ in columns if not self._fits(self._decision(table, name), type_))
        collapsed = frozenset(name for name in key if isinstance(transforms.get(name), Constant))
        return RowPlan(transforms, len(layout), cells, kept, masked, undecided, collapsed)

    def table_of(self, topic: str) -> Table:
        """The table whose changes are in that topic; with empty names, if nothing tells.

        For records that name no table. What the policy states about the topic holds; else it is the one, among those that
        rules name, whose changes Debezium writes there. Raises `InputError` when two tables share the topic's name, as topic
        names are sanitised.
        """
        if (stated := self._stated.get(topic)) is not None:
            return Table(stated.server or "", stated.schema or "", stated.table or "", topic)
        parts = topic.split(".")
        found = [
            Table(server, schema, name, topic)
            for start in range(1, len(parts) - 1)
            for server, end in ((".".join(parts[:start]), ".".join(parts[start:])),)
            for schema, name in sorted(self._tables_by_topic.get(end, ()))
        ]
        if len(found) > 1:
            raise InputError(Reason.AMBIGUOUS_TABLE, "topic")
        return found[0] if found else Table("", "", "", topic)

    def _decide(self, table: Table, name: str, type_: Type | None, in_key: bool, passing: bool) -> Transform:
        decision = self._decision(table, name)
        if decision is not None:
            return self._compile(decision, type_)
        if passing:
            return Keep()
        if not in_key:
            return redaction(type_)
        # A tombstone knows its topic only: the domain of an undecided key column must not need more.
        domain = json.dumps(["key", table.topic, name])
        return self._transform(
            Tokenize(), Column(place=name, type=type_, domain=domain, keyed_by=_UNDECIDED, epoch=self._epoch)
        )

    def _decision(self, table: Table, column: str) -> Rule | Parts | None:
        for server in (table.server, ANY_SERVER):
            decision = self._decisions.get((server, table.schema, table.name, column))
            if decision is not None:
                return decision
        return None

    def _compile(self, decision: Rule | Parts, type_: Type | None) -> Transform:
        """What was decided, for a column of that type; without one, of the type that the rules state."""
        if isinstance(decision, Parts):
            return nested.compile_parts(decision, type_ or decision.type, self._column, self._keys)
        column = self._column(decision, type_ or (from_postgres(decision.type) if decision.type else None))
        return self._transform(self._build(decision), column)

    def _transform(self, method: Method, column: Column) -> Transform:
        if column.type is not None and not method.accepts(column.type):
            return redaction(column.type)
        return method.compile(column, self._keys)

    def _column(self, rule: Rule, type_: Type | None) -> Column:
        names = [rule.server, rule.schema, rule.table, rule.column]
        domain = json.dumps(names if rule.path is None else [*names, rule.path])
        return Column(place=rule.place, type=type_, domain=domain, epoch=self._epoch, declared=self._domains)

    def _build(self, rule: Rule) -> Method:
        return methods.build(rule, self._known)

    def _fits(self, decision: Rule | Parts | None, type_: Type | None) -> bool:
        """Whether something was decided that can be done to a column of that type."""
        return decision is not None and (isinstance(decision, Parts) or type_ is None or self._build(decision).accepts(type_))

    def _strict(self, table: Table, name: str) -> bool:
        decision = self._decision(table, name)
        return isinstance(decision, Rule) and decision.strict

    def _check_key(self, table: Table, name: str, key: frozenset[str]) -> None:
        """Raises `InputError` unless equal keys stay equal, and distinct ones distinct or the rule accepts that they don't."""
        decision = self._decision(table, name)
        if decision is None:
            return
        if isinstance(decision, Rule):
            method = self._build(decision)
            subject = method.named_subject
            fits = (
                method.deterministic
                and not isinstance(method, DropColumn)
                and (subject is None or subject in key)
                and (method.uniqueness is Uniqueness.PRESERVED or decision.allow_uniqueness_loss)
            )
            if fits:
                return
        raise InputError(Reason.UNFIT_KEY_RULE, f"key.{name}")


def _decisions(policy: Policy, known: Registry) -> Mapping[tuple[str, str, str, str], Rule | Parts]:
    """What is decided about each column, checked: one rule for the whole of it, or rules for parts. Rules are sorted."""
    domains = {domain.name: domain for domain in policy.domains}
    found: dict[tuple[str, str, str, str], Rule | Parts] = {}
    for column, group in groupby(policy.rules, lambda rule: rule.target[:4]):
        first, *others = group
        if not others and first.path is None:
            _check(first, known, domains)
            found[column] = first
        else:
            found[column] = nested.parts([first, *others], known, domains)
    return found


def _check(rule: Rule, known: Registry, domains: Mapping[str, Domain]) -> None:
    declared = None
    if rule.type is not None:
        declared = from_postgres(rule.type)
        if declared is None:
            raise PolicyError(rule.place, f"type {rule.type!r} is no PostgreSQL type that is known; for an enum write 'enum'")
    method = methods.build(rule, known)
    if method.needs_type and declared is None:
        raise PolicyError(rule.place, f"method {method.name} needs the column's type; state it as in PostgreSQL")
    method.check(rule.place, declared, domains)


def _tables_by_topic(every: Iterable[Rule]) -> dict[str, set[tuple[str, str]]]:
    """Tables by the end of their topic's name: schema and table with Debezium's replacement of what a topic can't hold."""
    found: dict[str, set[tuple[str, str]]] = {}
    for rule in every:
        end = re.sub(r"[^A-Za-z0-9._-]", _replaced, f"{rule.schema}.{rule.table}")
        found.setdefault(end, set()).add((rule.schema, rule.table))
    return found


def _replaced(character: re.Match[str]) -> str:
    return "_" * (len(character[0].encode("utf-16-le")) // 2)  # Debezium goes by Java's characters


def _cell(name: str, transform: Transform, *, strict: bool) -> Cell | None:
    """From raw JSON text to masked JSON text; None: leave it. `strict`: a value that can't be masked is an `InputError`."""
    match transform:
        case Keep():
            return None
        case Constant(value, _):
            constant = orjson.dumps(value)
            return lambda _, __: constant
        case Compute(function, type_):
            return _guarded(name, lambda text, _: orjson.dumps(function(orjson.loads(text))), type_, strict=strict)
        case Contextual(aware, type_):

            def contextual(text: bytes, context: Context) -> bytes:
                context.drawn = 0
                return orjson.dumps(aware(orjson.loads(text), context))

            return _guarded(name, contextual, type_, strict=strict)
        case Rewrite(walk, type_):

            def rewrite(text: bytes, context: Context) -> bytes:
                context.drawn = 0
                return walk(text, context)

            return _guarded(name, rewrite, type_, strict=strict)
        case Drop():
            raise TypeError("a dropped column has no cell")


def _guarded(name: str, mask: Cell, type_: Type | None, *, strict: bool) -> Cell:
    """`mask` for what is neither null nor the marker of an unchanged large value; what it can't take is redacted."""
    redacted = orjson.dumps(redaction(type_).value)

    def cell(text: bytes, context: Context) -> bytes:
        if text == b"null" or text in UNCHANGED:
            return text
        try:
            return mask(text, context)
        except Unmaskable as error:
            reason = error.reason
        except orjson.JSONDecodeError:  # the text is JSON: a number in it is past a double
            reason = Misfit.RANGE
        if strict:
            raise InputError(Reason.UNMASKABLE, f"{context.place}.{name}")
        context.misfit(name, reason)
        return redacted

    return cell
