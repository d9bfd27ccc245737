"""What a policy lacks for a source: columns undecided, gone or of another type, keys that don't hold, joins that break.

The source's side of `cdc-masker policy check`; `cdc_masker.coverage` is that of the records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from cdc_masker import methods
from cdc_masker.drafting.joins import quoted
from cdc_masker.drafting.standing import Registry, Standing
from cdc_masker.drafting.tables import ColumnName, Source, SourceColumn, SourceTable
from cdc_masker.kinds import Kind
from cdc_masker.methods import METHODS, Disclosure, Method, Uniqueness
from cdc_masker.methods.canonical import Joining, form_of
from cdc_masker.methods.constant import DropColumn, Redact
from cdc_masker.methods.subjects import Keyed
from cdc_masker.policies import ANY_SERVER, Domain, Policy, Rule
from cdc_masker.schemas import Type, from_postgres

__all__ = ["Finding", "Report", "Word", "check"]


_OF_THE_VALUE = frozenset((Disclosure.VALUE, Disclosure.PART, Disclosure.MAGNITUDE, Disclosure.FORMAT))


class Word(StrEnum):
    """What is the matter with a column. The last four are warnings: they may be what somebody wants."""

    UNDECIDED = "undecided"
    GONE = "gone"
    RETYPED = "retyped"
    LOSSY = "lossy"
    COLLIDING = "colliding"
    EXPOSED = "exposed"
    UNJOINED = "unjoined"
    UNKNOWN = "unknown"

    @property
    def is_warning(self) -> bool:
        return self in (Word.COLLIDING, Word.EXPOSED, Word.UNJOINED, Word.UNKNOWN)


class Finding(msgspec.Struct, frozen=True, order=True):
    """One thing about one column, and what to do."""

    schema: str
    table: str
    column: str
    word: Word
    problem: str
    remedy: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer, for the tables of one publication."""

    policy_version: int
    policy_digest: str
    tables: int
    columns: int
    findings: tuple[Finding, ...]

    @property
    def complete(self) -> bool:
        """Whether there are warnings at most."""
        return all(finding.word.is_warning for finding in self.findings)


def check(policy: Policy, source: Source, known: Registry = METHODS) -> Report:
    """What the policy lacks for the source. The policy is sound by itself: `engine.check` says so."""
    standing = Standing(policy, source, known)
    tables = [table for table in source.tables if standing.needs_rules(table)]
    found = [*_without_column(policy, source)]
    for table in tables:
        for column in table.columns:
            found += _of_column(standing, table, column)
    found += _unjoined(standing, source)
    return Report(
        policy_version=policy.version,
        policy_digest=policy.digest,
        tables=len(tables),
        columns=sum(len(table.columns) for table in tables),
        findings=tuple(sorted(set(found))),
    )


def _finding(name: ColumnName, word: Word, problem: str, remedy: str) -> Finding:
    return Finding(*name, word, problem, remedy)


def _without_column(policy: Policy, source: Source) -> Iterator[Finding]:
    """Rules that name a column which isn't there. A table that the publication lacks may be another server's."""
    stated = {(each.schema, each.table) for each in policy.envelopes}
    for rule in policy.rules:
        if rule.pattern or not rule.schema or rule.server not in (ANY_SERVER, source.server):
            continue
        name = ColumnName(rule.schema, rule.table, rule.column)
        table = source.table(name.of)
        if table is not None and table.column(rule.column) is None:
            yield _finding(name, Word.GONE, "its table has no such column", "forget the rule, or correct its name")
        elif table is None and name.of not in stated:
            word = Word.UNKNOWN if rule.server == ANY_SERVER else Word.GONE
            yield _finding(name, word, "the publication has no such table", "forget the rule, unless another source has it")


def _of_column(standing: Standing, table: SourceTable, column: SourceColumn) -> Iterator[Finding]:
    name = ColumnName(table.schema, table.name, column.name)
    group = standing.group(name)
    if not group:
        yield _finding(name, Word.UNDECIDED, "no rule decides on it", "decide, or run `cdc-masker policy draft`")
        return
    stated = next((each.type for each in group if each.type is not None), None)  # the same in all of them
    if stated is not None and not _same(from_postgres(stated), column):
        problem = f"its rule says type {stated}, and it is of type {column.type}"
        yield _finding(name, Word.RETYPED, problem, "look at the rule again, and state the type")
    rule, method = standing.rule(name), standing.method(name)
    if rule is None or method is None:
        if column.name in table.key:
            yield _finding(name, Word.LOSSY, "it is in the key, and only parts of it are masked", "decide on it as a whole")
        return
    type_ = column.connect
    if type_ is not None and not methods.fits(method, type_, few=rule.allow_small_domain):
        problem = f"method {method.name} can't be used on type {column.type}, so that it is redacted"
        yield _finding(name, Word.UNDECIDED, problem, "use another method, or allow_small_domain where that is why")
        return
    yield from _uniqueness(standing, table, column, rule, method)
    yield from _exposed(standing, table, column, method)


def _same(stated: Type | None, column: SourceColumn) -> bool:
    """A type that no rule can state comes as bytes."""
    return stated == (column.connect or from_postgres("bytea"))


def _uniqueness(standing: Standing, table: SourceTable, column: SourceColumn, rule: Rule, method: Method) -> Iterator[Finding]:
    name = ColumnName(table.schema, table.name, column.name)
    in_key, uniques = name.column in table.key, table.uniques(name.column)
    if in_key:
        if isinstance(method, DropColumn) or not method.deterministic:
            problem = f"it is in the key, where method {method.name} can't be used"
            yield _finding(name, Word.LOSSY, problem, "use a method that keeps equal values equal")
            return
        if method.named_subject is not None and method.named_subject not in table.key:
            problem = "it is in the key, and masked under a subject that is not"
            yield _finding(name, Word.LOSSY, problem, "use a domain that is not per subject")
            return
    if not (in_key or uniques) or method.keeps_distinct(standing.domains, column.connect):
        return
    where = uniques[0].words if uniques else "the key"
    if not rule.allow_uniqueness_loss and (in_key or method.uniqueness is not Uniqueness.NOT_GUARANTEED):
        problem = f"method {method.name} does not keep the values of {where} distinct"
        yield _finding(name, Word.LOSSY, problem, "use one that does, or allow_uniqueness_loss with a reason")
    elif method.uniqueness is Uniqueness.NOT_GUARANTEED:
        odds = _odds(table.rows, method.outputs)
        yield _finding(name, Word.COLLIDING, f"values of {where} may meet in one: {odds}", "use tokenize where that matters")


def _odds(rows: int | None, outputs: int | None) -> str:
    """How likely it is that some two of the rows meet: the birthday bound, 1 - exp(-n (n - 1) / 2 m)."""
    if rows is None or outputs is None:
        return "how likely is not known" + ("; ANALYZE the table" if rows is None else "")
    likely = -math.expm1(-rows * (rows - 1) / (2 * outputs))
    return f"with {rows:,} rows and {outputs:,} possible outputs the odds are {likely:.2g}"


def _exposed(standing: Standing, table: SourceTable, column: SourceColumn, method: Method) -> Iterator[Finding]:
    """Columns that show what others hide. A text search vector that a trigger writes may hold the words of any text."""
    inputs = column.inputs
    if column.type == "tsvector" and not column.generated:
        inputs = tuple(each.name for each in table.columns if each.kind is Kind.TEXT)
    hidden = []
    for each in inputs:
        name = ColumnName(table.schema, table.name, each)
        masked = standing.method(name) or Redact()
        if not _shows_no_more(method, masked, column.name in table.key):
            hidden.append(each)
    if hidden:
        problem = f"it is made from {', '.join(map(ascii, hidden))}, which the policy masks more"
        remedy = "mask it as much as what it is made from"
        yield _finding(ColumnName(table.schema, table.name, column.name), Word.EXPOSED, problem, remedy)


def _shows_no_more(method: Method, masked: Method, in_key: bool) -> bool:
    """In a key, values have to be told apart, by a token or encrypted."""
    return method.no_weaker_than(masked) or (in_key and not method.discloses & _OF_THE_VALUE)


def _unjoined(standing: Standing, source: Source) -> Iterator[Finding]:
    """Foreign keys of which both ends can be told apart, but no longer joined."""
    published = {ColumnName(*table.full_name, column.name): column for table in source.tables for column in table.columns}
    for link in source.links:
        ends = [(name, standing.method(name), published.get(name)) for name in (link.column, link.target)]
        spaces = [_space(standing, method, column) for _, method, column in ends if method is not None and column is not None]
        if len(spaces) == 2 and None not in spaces and spaces[0] != spaces[1]:
            problem = f"it refers to {quoted(link.target)}, and no longer joins it"
            yield _finding(link.column, Word.UNJOINED, problem, "mask both by one method in one domain")


def _space(standing: Standing, method: Method, column: SourceColumn) -> object:
    """What two columns must have in common to join; None: that values can't be compared is what somebody wants."""
    if Disclosure.VALUE in method.discloses:
        return method.name
    if Disclosure.EQUALITY not in method.discloses:
        return None
    if not isinstance(method, Keyed) or method.domain is None:
        return (method.name, id(column))
    space = standing.domains.get(method.domain, Domain(name=method.domain))
    form = form_of(space, column.connect, named=True) if isinstance(method, Joining) else None
    return (method.name, method.domain, form)
