"""A rule for each column that nobody decided on: what a draft proposes, and why.

It hides. What has to stay distinct or to join gets tokens: columns of keys, of foreign keys and of unique indexes, and what is
looked up by equal values, such as an e-mail address. All else is redacted. To keep a column, or a part of it, is for a person
to say; a hint names what could be done. A column that is computed from others shows no more than any of them. Where few values
are possible there are no tokens, but for keys: else redact, and a hint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cdc_masker.drafting.joins import Join, join, quoted
from cdc_masker.drafting.links import Component, components
from cdc_masker.drafting.names import BySchema, Classification, Classifier
from cdc_masker.drafting.standing import Registry, Standing
from cdc_masker.drafting.tables import PRIMARY, ColumnName, Source, SourceColumn, SourceTable, Unique
from cdc_masker.drafting.values import ByValues
from cdc_masker.kinds import Kind, states_few_values
from cdc_masker.methods import METHODS, Method
from cdc_masker.methods.constant import Redact
from cdc_masker.methods.encrypt import Encrypt
from cdc_masker.methods.token import Tokenize
from cdc_masker.policies import Domain, Policy, Rule

__all__ = ["CLASSIFIERS", "Draft", "Proposal", "draft", "undecided"]

CLASSIFIERS: tuple[Classifier, ...] = (BySchema(), ByValues())
Samples = Mapping[ColumnName, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule, what speaks for it, and what else could be done; neither quotes a value or a comment of the source."""

    rule: Rule
    evidence: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """Proposals in the order of the source's tables and columns, and the domains that they need to be declared."""

    proposals: tuple[Proposal, ...]
    domains: tuple[Domain, ...] = ()

    def applied_to(self, policy: Policy) -> Policy:
        """The policy that it would become, not numbered yet."""
        return Policy.of(
            0,
            key_epoch=policy.key_epoch,
            rules=[*policy.rules, *(each.rule for each in self.proposals)],
            tables=policy.tables,
            domains=[*policy.domains, *self.domains],
            envelopes=policy.envelopes,
            headers=policy.headers,
        )


def undecided(policy: Policy, source: Source, known: Registry = METHODS) -> list[ColumnName]:
    """The columns that no rule decides on."""
    standing = Standing(policy, source, known)
    return [
        name for table in source.tables if standing.needs_rules(table) for name in _names(table) if not standing.group(name)
    ]


def draft(
    policy: Policy,
    source: Source,
    *,
    classifiers: Iterable[Classifier] = CLASSIFIERS,
    samples: Samples | None = None,
    known: Registry = METHODS,
) -> Draft:
    """Exactly one rule for each column that `undecided` names."""
    drafting = _Drafting(policy, source, tuple(classifiers), samples or {}, known)
    proposals = tuple(drafting.propose(name) for name in undecided(policy, source, known))
    used = {each.rule.params.get("domain") for each in proposals}
    domains = {each.declared.name: each.declared for each in drafting.joins.values() if each.declared is not None}
    return Draft(proposals, tuple(domains[name] for name in sorted(domains) if name in used))


def _names(table: SourceTable) -> list[ColumnName]:
    return [ColumnName(table.schema, table.name, column.name) for column in table.columns]


class _Drafting:
    """The draft of one policy and source. Each column is proposed once, those that others are computed from before them."""

    def __init__(
        self, policy: Policy, source: Source, classifiers: tuple[Classifier, ...], samples: Samples, known: Registry
    ) -> None:
        self._standing = Standing(policy, source, known)
        self._classifiers = classifiers
        self._samples = samples
        self._tables = {table.full_name: table for table in source.tables}
        self._columns = {
            name: column for table in source.tables for name, column in zip(_names(table), table.columns, strict=True)
        }
        self._components = components(source)
        self.joins: dict[ColumnName, Join] = {}
        self._proposed: dict[ColumnName, Proposal] = {}

    def propose(self, name: ColumnName) -> Proposal:
        if name not in self._proposed:
            self._proposed[name] = self._propose(name)
        return self._proposed[name]

    def _propose(self, name: ColumnName) -> Proposal:
        table, column, component = self._tables[name.of], self._columns[name], self._components[name]
        joined = self._joined(component)
        case = _Case(table, column, component, joined, self._classified(table, column, name))
        rule = case.rule(name, *case.choice())
        inputs = [self._method(ColumnName(*name.of, each)) for each in column.inputs]
        if column.name not in table.key and not all(self._standing.build(rule).no_weaker_than(each) for each in inputs):
            rule = case.rule(name, Redact.name)
        return Proposal(rule, case.evidence(name, rule), case.hints(rule))

    def _joined(self, component: Component) -> Join:
        if component.name not in self.joins:
            members = [(member, self._columns[member]) for member in component.members]
            self.joins[component.name] = join(component, members, self._standing)
        return self.joins[component.name]

    def _method(self, name: ColumnName) -> Method:
        """What is done to a column, or would be; where only its parts are decided on, the most that can be."""
        if self._standing.group(name):
            return self._standing.method(name) or Redact()
        return self._standing.build(self.propose(name).rule)

    def _classified(self, table: SourceTable, column: SourceColumn, name: ColumnName) -> Classification | None:
        sample = self._samples.get(name, ())
        found = [each for one in self._classifiers if (each := one.classify(table, column, sample)) is not None]
        return max(found, key=lambda each: each.confidence, default=None)


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known of one column."""

    table: SourceTable
    column: SourceColumn
    component: Component
    joined: Join
    found: Classification | None

    @property
    def few(self) -> bool:
        type_ = self.column.connect
        return type_ is not None and states_few_values(self.column.type, type_)

    @property
    def in_key(self) -> bool:
        return self.column.name in self.table.key

    @property
    def uniques(self) -> tuple[Unique, ...]:
        return self.table.uniques(self.column.name)

    def choice(self) -> tuple[str, str | None]:
        """Method and domain."""
        joining = self.joined.method if self.component.linked or self.joined.follows else None
        if joining is not None and (self.in_key or not self.few or self.column.kind is Kind.SMALL_INTEGER):
            return joining, self.joined.domain
        type_ = self.column.connect
        method = Tokenize.name if type_ is not None and Tokenize().accepts(type_) else Encrypt.name
        domain = None if self.component.linked or len(self.component.members) == 1 else str(self.component.name)
        looked_up = bool(self.uniques) or (self.found is not None and self.found.joins)
        if self.in_key or (method == Tokenize.name and looked_up and not self.few and not self.joined.hidden):
            return method, domain
        return Redact.name, None

    def rule(self, name: ColumnName, method: str, domain: str | None = None) -> Rule:
        reasons = []
        if few := self.few and method != Redact.name:
            reasons.append("a column of the key has to stay distinct" if self.in_key else "a foreign key, to join by")
        if loses := bool(self.uniques) and method == Redact.name:
            reasons.append(f"masked rows need not keep the {self.uniques[0].words}")
        return Rule(
            schema=name.schema,
            table=name.table,
            column=name.column,
            type=self.column.stated,
            method=method,
            params={} if domain is None else {"domain": domain},
            allow_small_domain=few,
            allow_uniqueness_loss=loses,
            classification=None if self.found is None else self.found.label,
            reason="; ".join(reasons) or None,
        )

    def evidence(self, name: ColumnName, rule: Rule) -> tuple[str, ...]:
        """What speaks for the rule; names are quoted, since they may hold anything."""
        column, uniques = self.column, [each.words for each in self.uniques]
        found = [f"{column.labels} labels"] if column.labels is not None else []
        found += ["in the key"] if self.in_key and PRIMARY not in uniques else []
        found += uniques
        if self.component.linked:
            named = self.component.name != name
            found.append(f"values of {quoted(self.component.name)}" if named else "others refer to it")
        found += ["computed from " + ", ".join(map(ascii, column.inputs))] if column.inputs else []
        found += [self.found.evidence] if self.found is not None else []
        found += [self.joined.note] if self.joined.note is not None else []
        found += ["no token can be made of its type"] if rule.method == Encrypt.name and not self.joined.follows else []
        return tuple(found)

    def hints(self, rule: Rule) -> tuple[str, ...]:
        """What else could be done to a column that is redacted."""
        if rule.method != Redact.name:
            return ()
        if self.few and self.component.linked:
            return ("a token would let it join, and its few values be told apart by counting",)
        if self.found is not None and self.found.hint is not None:
            return (self.found.hint,)
        return ("keep it where its few values say nothing about people",) if self.few else ()
