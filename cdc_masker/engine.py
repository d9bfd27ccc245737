"""Policy + layout → plan, and the plan applied to a row: the inner loop.

An `Engine` is one policy with its keys. For a table and a column layout it compiles a `RowPlan` (`cdc_masker.plans` keeps
them): for each column the text that goes before it and a function from raw JSON text to masked JSON text. A column's
decision is, in this order: the rule that names it, or the rules that name its parts (`cdc_masker.nested`); for a key column, a
token in a domain of its own, so that rows keep their identity; the default, which redacts. A method that can't work on the
column's real type is a redaction, too, and so is a value that it can't take, unless the rule is `strict` or the column is one
of the key, where rows with the same constant could not be told apart.

The key, the images and the headers of a record go through plans made from the same decisions, so that equal columns agree. A
rule under which different rows could get the same key, or one row several, is refused as soon as a record shows its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from cdc_masker import methods, nested, rules, steady
from cdc_masker.codecs.connect import Layout
from cdc_masker.codecs.json import Members
from cdc_masker.errors import InputError, PolicyError, Reason
from cdc_masker.events import Treatment
from cdc_masker.guard import MaskedColumn
from cdc_masker.lookup import Group, Lookup, Table, as_in_topics
from cdc_masker.methods import (
    METHODS,
    UNCHANGED,
    UNCHANGED_TEXT,
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
    Unmaskable,
    redaction,
)
from cdc_masker.methods.constant import DropColumn, KeepValue, Redact
from cdc_masker.methods.token import Tokenize
from cdc_masker.nested import Parts
from cdc_masker.policies import Domain, Policy, Rule
from cdc_masker.schemas import Type, from_postgres

__all__ = ["Engine", "RowPlan", "check"]

_EVERY_REASON = frozenset(Misfit)
_OF_SUBJECTS = frozenset((Misfit.SUBJECT, Misfit.ERASED))
_UNDECIDED = "undecided columns of keys"
_SPECIAL_HEADERS = re.compile(r"__debezium\.(new|old)key|cdc-masker")

Cell = Callable[[bytes, Context], bytes]
Registry = Mapping[str, type[Method]]

_Target = tuple[bool, tuple[str, str, str, str]]
"""What rules are about, but for their paths: whether they are patterns, server, schema, table and column."""


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What is done to the rows of one layout. `transforms` says it for each column, for whoever describes the output.

    `kept` and `masked` are what the egress guard is told of it. `undecided` are the columns that no rule decides, or whose
    rule's method does not fit the type that came: drift, for people to see. `collapsed` are the columns of the key in which a
    constant stands, so that different rows get the same key, and nobody accepted that. `withheld` are the columns that are not
    masked as decided, since rows would get another shape. `cells` lack the columns that are dropped, `width` counts them.
    `treatment` is what the audit counts.
    """

    transforms: dict[str, Transform]
    width: int
    cells: tuple[tuple[str, bytes, Cell | None], ...] = field(repr=False)
    kept: frozenset[str]
    masked: tuple[MaskedColumn, ...] = field(repr=False)
    undecided: frozenset[str]
    collapsed: frozenset[str]
    withheld: frozenset[str]
    treatment: Treatment = field(repr=False)

    def apply(self, row: Members, place: str, context: Context) -> bytes:
        """The masked row as JSON text; `context` is its record's. Raises `InputError` when the row has other columns than the
        layout, or a value that a strict rule can't take.
        """
        dropped = self.width - len(self.cells)
        if len(row) != self.width or (dropped and row.keys() != self.transforms.keys()):  # the others are looked up below
            raise InputError(Reason.SCHEMA_MISMATCH, place)
        context.place, context.row = place, row
        try:
            texts = [
                head + row[name] if cell is None else head + cell(bytes(row[name]), context) for name, head, cell in self.cells
            ]
        except KeyError:
            raise InputError(Reason.SCHEMA_MISMATCH, place) from None
        context.treatments.append(self.treatment)
        return b"{" + b",".join(texts) + b"}"


def check(policy: Policy, known: Registry = METHODS) -> None:
    """Raises `PolicyError` naming the first rule that can't be carried out with the methods that there are."""
    _decisions(policy, Lookup(policy), known)


def _decisions(policy: Policy, lookup: Lookup, known: Registry) -> dict[_Target, Rule | Parts]:
    """What is decided, checked, by what it is about. Raises as `check` does."""
    domains = {domain.name: domain for domain in policy.domains}
    decided = {_target(group): _decided(group, known, domains) for group in lookup.groups()}
    rules.check([(rule, methods.build(rule, known)) for rule in policy.rules], policy.domains)
    for header in policy.headers:
        if _SPECIAL_HEADERS.fullmatch(header):
            raise PolicyError(f"header {header}", "is written by cdc-masker itself and can't be let through")
    return decided


class Engine:
    """One policy, ready to mask. Raises `PolicyError` and `KeyringError` when it can't be carried out.

    Rows keep the shape that they have under the policy `began`; without one, they have that of this policy.
    """

    def __init__(self, policy: Policy, keys: Keys, known: Registry = METHODS, began: Policy | None = None) -> None:
        self.lookup = Lookup(policy)
        self._decided = _decisions(policy, self.lookup, known)
        self._began = None if began is None else Engine(began, steady.NoKeys(), known)
        self._known = known
        self._keys = keys
        self._epoch = policy.key_epoch
        self._domains = {domain.name: domain for domain in policy.domains}
        for decision in self._decided.values():  # a key that is missing is found now, not at the first event that needs it
            self._compile(decision, Table("", "", "", ""), "", None)
        # So is the one for undecided columns of keys.
        Tokenize().compile(Column(place="", type=None, domain=_UNDECIDED, epoch=self._epoch), keys)

    def compile(self, table: Table, layout: Layout, key: frozenset[str], passing: frozenset[str] = frozenset()) -> RowPlan:
        """The plan for rows of `table` with the columns of `layout`, of which `key` are the columns of the record's key.

        Names that are `passing` are no columns, unless a rule is about them and not about all columns: they are kept. Raises
        `InputError` when the key has a column whose rule is not fit for a key.
        """
        types = dict(layout)
        for name in key:
            self._check_key(table, name, types.get(name), key)
        wanted = {name: self._decide(table, name, type_, name in key, name in passing) for name, type_ in layout}
        transforms = {name: self._in_shape(wanted[name], table, name, type_, key, name in passing) for name, type_ in layout}
        withheld = frozenset(name for name in wanted if transforms[name] is not wanted[name])
        for name in withheld & key:  # without it, different rows would get the same key
            raise InputError(Reason.UNFIT_KEY_RULE, f"key.{name}")
        cells = tuple(
            (name, orjson.dumps(name) + b":", _cell(name, transform, tolerated=self._tolerated(table, name, name in key)))
            for name, transform in transforms.items()
            if not isinstance(transform, Drop)
        )
        kept = frozenset(name for name, transform in transforms.items() if isinstance(transform, Keep))
        masked = tuple(_expected(name, transform) for name, transform in transforms.items() if name not in kept)
        columns = ((name, type_) for name, type_ in layout if name not in passing)
        undecided = frozenset(name for name, type_ in columns if not self._fits(self._decision(table, name), type_))
        constant = (name for name in key if isinstance(transforms.get(name), Constant))
        collapsed = frozenset(name for name in constant if name in undecided or not self._accepts_loss(table, name))
        by_default = withheld | undecided
        treated = (self._treated(table, name, transforms[name], name in by_default) for name in transforms)
        treatment = Treatment(f"{table.schema}.{table.name}", tuple(each for column in treated for each in column))
        return RowPlan(transforms, len(layout), cells, kept, masked, undecided, collapsed, withheld, treatment)

    def _decide(self, table: Table, name: str, type_: Type | None, in_key: bool, passing: bool) -> Transform:
        decision = self._decision(table, name)
        if passing and (decision is None or _is_about_all(decision)):
            return Keep()
        if decision is not None:
            return self._compile(decision, table, name, type_)
        default = self.lookup.default(table)
        if default == "quarantine":
            raise InputError(Reason.UNDECIDED, name)
        if not in_key:
            return Drop() if default == "drop" else redaction(type_)
        # A tombstone knows its topic only: the domain of an undecided key column must not need more.
        domain = json.dumps(["key", table.topic, name])
        column = Column(place=name, type=type_, domain=domain, keyed_by=_UNDECIDED, epoch=self._epoch)
        return self._transform(Tokenize(), column, few=True)  # what a key is worth without its identity, nobody can say

    def _in_shape(
        self, wanted: Transform, table: Table, name: str, type_: Type | None, key: frozenset[str], passing: bool
    ) -> Transform:
        """The transform that is wanted, or what keeps the column in the shape in which it began."""
        if self._began is None:
            return wanted
        type_ = type_ or self._declared(table, name) or self._began._declared(table, name)
        try:
            if name in key:
                self._began._check_key(table, name, type_, key)
            began = self._began._decide(table, name, type_, name in key, passing)
        except InputError:  # such records were quarantined: the column had no shape
            return wanted
        return steady.in_shape_of(began, wanted, type_)

    def _treated(self, table: Table, name: str, transform: Transform, by_default: bool) -> Iterable[tuple[str, str]]:
        """By column or path, the method that is applied: the rule's, or what stands in for it."""
        decision = self._decision(table, name)
        if by_default or decision is None:
            default = {Keep: KeepValue, Drop: DropColumn, Constant: Redact}.get(type(transform), Tokenize)
            yield name, default.name
        elif isinstance(decision, Parts):
            yield from ((f"{name} {rule.path}", rule.method) for rule in decision.rules)
        else:
            yield name, decision.method

    def _declared(self, table: Table, name: str) -> Type | None:
        """The type that rules state for the column."""
        decision = self._decision(table, name)
        return None if decision is None else _stated(decision)

    def _decision(self, table: Table, column: str) -> Rule | Parts | None:
        group = self.lookup.rules(table, column)
        return self._decided[_target(group)] if group else None

    def _compile(self, decision: Rule | Parts, table: Table, name: str, type_: Type | None) -> Transform:
        """What was decided, for a column of that type; without one, of the type that the rules state."""

        def column(rule: Rule, of_type: Type | None) -> Column:
            return self.column(rule, table, name, of_type)

        if isinstance(decision, Parts):
            return nested.compile_parts(decision, type_ or _stated(decision), column, self._keys)
        described = column(decision, type_ or _stated(decision))
        return self._transform(self.method(decision), described, few=decision.allow_small_domain)

    def _transform(self, method: Method, column: Column, *, few: bool) -> Transform:
        if column.type is not None and not methods.fits(method, column.type, few=few):
            return redaction(column.type)
        return method.compile(column, self._keys)

    def column(self, rule: Rule, table: Table, name: str, type_: Type | None) -> Column:
        """As the method of a rule is told of it. Each column that a pattern matches has a domain of its own, keyed by that of
        the pattern: which columns there will be is not known when keys are derived.
        """
        path = () if rule.path is None else (rule.path,)
        domain = keyed_by = json.dumps([*rule.target[:4], *path])
        if rule.pattern:
            names = rule.server, as_in_topics(table.schema), as_in_topics(table.name), name
            domain = json.dumps(["pattern", *names, *path])
        return Column(place=rule.place, type=type_, domain=domain, keyed_by=keyed_by, epoch=self._epoch, declared=self._domains)

    def method(self, rule: Rule) -> Method:
        """As the rule says, with its parameters."""
        return methods.build(rule, self._known)

    def _fits(self, decision: Rule | Parts | None, type_: Type | None) -> bool:
        """Whether something was decided that can be done to a column of that type."""
        if decision is None or isinstance(decision, Parts) or type_ is None:
            return decision is not None
        return methods.fits(self.method(decision), type_, few=decision.allow_small_domain)

    def _tolerated(self, table: Table, name: str, in_key: bool) -> frozenset[Misfit]:
        """For which reasons a value that can't be masked is redacted. In a key a redaction would meet other rows' keys."""
        decision = self._decision(table, name)
        if not isinstance(decision, Rule):
            return _EVERY_REASON
        if decision.strict:
            return frozenset()
        return _OF_SUBJECTS if in_key and not decision.allow_uniqueness_loss else _EVERY_REASON

    def _accepts_loss(self, table: Table, name: str) -> bool:
        decision = self._decision(table, name)
        return isinstance(decision, Rule) and decision.allow_uniqueness_loss

    def _check_key(self, table: Table, name: str, type_: Type | None, key: frozenset[str]) -> None:
        """Raises `InputError` unless equal keys stay equal, and distinct ones distinct or the rule accepts that they don't."""
        decision = self._decision(table, name)
        if decision is None:
            return
        if isinstance(decision, Rule):
            method = self.method(decision)
            subject = method.named_subject
            fits = (
                method.deterministic
                and not isinstance(method, DropColumn)
                and (subject is None or subject in key)
                and (
                    decision.allow_uniqueness_loss or method.keeps_distinct(self._domains, type_ or self._declared(table, name))
                )
            )
            if fits:
                return
        raise InputError(Reason.UNFIT_KEY_RULE, f"key.{name}")


def _target(group: Group) -> _Target:
    return group[0].pattern, group[0].target[:4]


def _stated(decision: Rule | Parts) -> Type | None:
    """The type that the rules of a column state."""
    if isinstance(decision, Parts):
        return decision.type
    return from_postgres(decision.type) if decision.type else None


def _is_about_all(decision: Rule | Parts) -> bool:
    """Whether it was made for all columns, whatever they are called."""
    first = decision.rules[0] if isinstance(decision, Parts) else decision
    return first.pattern and first.column == "*"


def _decided(group: Group, known: Registry, domains: Mapping[str, Domain]) -> Rule | Parts:
    """What is decided by the rules with one target, checked: one for the whole column, or some for parts of it."""
    first, *others = group
    if others or first.path is not None:
        return nested.parts(group, known, domains)
    _check(first, known, domains)
    return first


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


def _text(value: object) -> bytes:
    """As JSON text that is kept: what orjson returns holds on to its buffer of 4 kB."""
    return bytes(memoryview(orjson.dumps(value)))


def _expected(name: str, transform: Transform) -> MaskedColumn:
    """What the egress guard is told of a column that is not kept."""
    match transform:
        case Constant(value, _):
            return MaskedColumn(name, True, constant=_text(value))
        case Compute(_, type_, same, same_number) | Contextual(_, type_, same, same_number):
            near = same or (isinstance(transform, Contextual) and transform.may_return_another)
            return MaskedColumn(name, not same, not same_number, _text(redaction(type_).value), near)
        case _:
            return MaskedColumn(name, not isinstance(transform, Rewrite))


def _cell(name: str, transform: Transform, *, tolerated: frozenset[Misfit]) -> Cell | None:
    """From raw JSON text to masked JSON text; None: leave it. A value that can't be masked is redacted where the reason is
    `tolerated`; else it is an `InputError`.
    """
    match transform:
        case Keep():
            return None
        case Constant(value, _):
            constant = _text(value)
            return lambda _, __: constant
        case Compute(function, type_):
            return _guarded(name, lambda text, _: orjson.dumps(function(orjson.loads(text))), type_, tolerated=tolerated)
        case Contextual(aware, type_):

            def contextual(text: bytes, context: Context) -> bytes:
                context.drawn = 0
                return orjson.dumps(aware(orjson.loads(text), context))

            return _guarded(name, contextual, type_, tolerated=tolerated)
        case Rewrite(walk, type_):

            def rewrite(text: bytes, context: Context) -> bytes:
                context.drawn = 0
                return walk(text, context)

            return _guarded(name, rewrite, type_, tolerated=tolerated)
        case Drop():
            raise TypeError("a dropped column has no cell")


def _guarded(name: str, mask: Cell, type_: Type | None, *, tolerated: frozenset[Misfit]) -> Cell:
    """`mask` for what is neither null nor the marker of an unchanged large value; what it can't take is redacted."""
    redacted = _text(redaction(type_).value)
    of_text = type_ is not None and type_.base == "string"

    def cell(text: bytes, context: Context) -> bytes:
        if text == b"null":
            return text
        if text in UNCHANGED:  # of an array or a map in its own shape, which a method may not have kept
            return text if not of_text or text.startswith(b'"') else UNCHANGED_TEXT
        try:
            return mask(text, context)
        except Unmaskable as error:
            reason = error.reason
        except orjson.JSONDecodeError:  # the text is JSON: a number in it is past a double
            reason = Misfit.RANGE
        if reason not in tolerated:
            raise InputError(Reason.UNMASKABLE, f"{context.place}.{name}")
        context.misfit(name, reason)
        return redacted

    return cell
