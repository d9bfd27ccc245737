"""What one policy revision says, as values, and the policy that follows from many of them.

A revision is a list of changes; a policy is the changes of all applied revisions, one after the other, applied to the
policy that decides nothing. No database takes part, so the same revisions give the same policy and digest anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from cdc_masker.errors import PolicyError
from cdc_masker.policies import ANY_SERVER, EMPTY, Domain, EnvelopeShape, Policy, Rule, TableDefault

__all__ = [
    "AllowHeader",
    "AllowWeaker",
    "Change",
    "Classify",
    "Decide",
    "Declare",
    "Default",
    "ForbidHeader",
    "Forget",
    "ForgetTopic",
    "Shape",
    "UseKeyEpoch",
    "parse_table",
    "replay",
]

Target = tuple[str, str, str, str, str]
"""Server, schema, table, column, and path or ''."""


@dataclass(frozen=True, slots=True)
class Decide:
    """The rule holds from now on, in place of one with the same target."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Forget:
    """The rule with this target holds no longer."""

    target: Target
    pattern: bool = False


@dataclass(frozen=True, slots=True)
class Classify:
    """What is known of a column, whatever is done to it; with no rule before, it is redacted by one from now on."""

    target: Target
    classification: str
    reason: str | None = None
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Default:
    """What happens from now on to the columns of a table that no rule is about."""

    table: TableDefault


@dataclass(frozen=True, slots=True)
class Declare:
    """The domain is as described from now on."""

    domain: Domain


@dataclass(frozen=True, slots=True)
class AllowHeader:
    """Record headers of this name pass."""

    name: str


@dataclass(frozen=True, slots=True)
class ForbidHeader:
    """Record headers of this name are left out again."""

    name: str


@dataclass(frozen=True, slots=True)
class Shape:
    """The topic holds events of this shape from now on."""

    envelope: EnvelopeShape


@dataclass(frozen=True, slots=True)
class ForgetTopic:
    """The topic holds Debezium envelopes again, of the table that its name tells."""

    topic: str


@dataclass(frozen=True, slots=True)
class UseKeyEpoch:
    """All keys are derived from the root key of this epoch from now on."""

    epoch: int


@dataclass(frozen=True, slots=True)
class AllowWeaker:
    """This revision may mask less than the one before, for that reason."""

    reason: str


Change = (
    AllowWeaker
    | Decide
    | Forget
    | Classify
    | Default
    | Declare
    | AllowHeader
    | ForbidHeader
    | Shape
    | ForgetTopic
    | UseKeyEpoch
)


def replay(changes: Iterable[Change]) -> Policy:
    """The policy after all changes, not numbered yet. Raises `PolicyError` for one that takes away what isn't there."""
    rules: dict[tuple[bool, Target], Rule] = {}
    tables: dict[tuple[str, str, str], TableDefault] = {}
    domains: dict[str, Domain] = {}
    envelopes: dict[str, EnvelopeShape] = {}
    headers: set[str] = set()
    key_epoch = EMPTY.key_epoch
    for change in changes:
        match change:
            case AllowWeaker():
                pass  # it is about the step, not about what is masked
            case Decide(rule):
                rules[rule.pattern, rule.target] = rule
            case Forget(target, pattern):
                if rules.pop((pattern, target), None) is None:
                    name = "forget_columns" if pattern else "forget_column"
                    raise PolicyError(f"{name} {'.'.join(target[1:4])}{target[4]}", "no rule is in force there")
            case Classify(target) as said:
                rules[False, target] = _classified(rules.get((False, target)), said)
            case Default(table):
                tables[table.server, table.schema, table.table] = table
            case Declare(domain):
                domains[domain.name] = domain
            case AllowHeader(name):
                headers.add(name)
            case ForbidHeader(name):
                if name not in headers:
                    raise PolicyError(f"forbid_header {name}", "this header is not allowed anyway")
                headers.remove(name)
            case Shape(envelope):
                envelopes[envelope.topic] = envelope
            case ForgetTopic(topic):
                if envelopes.pop(topic, None) is None:
                    raise PolicyError(f"forget_topic {topic}", "nothing was said about this topic")
            case UseKeyEpoch(epoch):
                if epoch == key_epoch:
                    raise PolicyError(f"use_key_epoch {epoch}", "this epoch is in force already")
                key_epoch = epoch
    return Policy.of(
        0,
        key_epoch=key_epoch,
        rules=rules.values(),
        tables=[each for each in tables.values() if each.default != _default_around(each, tables)],
        domains=domains.values(),
        envelopes=envelopes.values(),
        headers=headers,
    )


def _default_around(stated: TableDefault, tables: Mapping[tuple[str, str, str], TableDefault]) -> str:
    """What would hold for that table without it."""
    around = tables.get((ANY_SERVER, stated.schema, stated.table))
    return EMPTY.default if around is None or stated.server == ANY_SERVER else around.default


def _classified(rule: Rule | None, said: Classify) -> Rule:
    if rule is not None:
        return msgspec.structs.replace(rule, classification=said.classification)
    server, schema, table, column, path = said.target
    return Rule(
        server=server,
        schema=schema,
        table=table,
        column=column,
        path=path or None,
        method="redact",
        classification=said.classification,
        reason=said.reason,
        ticket=said.ticket,
    )


_IDENTIFIER = r'(?:"(?P<{0}_quoted>(?:[^"]|"")+)"|(?P<{0}>[^\W\d][\w$]*))'
_TABLE = re.compile(rf"{_IDENTIFIER.format('schema')}\.{_IDENTIFIER.format('table')}")


def parse_table(name: str | tuple[str, str]) -> tuple[str, str]:
    """Schema and table of `crm.customers`, of `"Crm"."Type Zoo"` (quoted as in SQL), or of a pair of exact names.

    PostgreSQL folds capitals outside quotes, other databases don't: so they are refused there, with a `PolicyError`.
    """
    if isinstance(name, tuple):
        return name
    found = _TABLE.fullmatch(name)
    if found is None:
        raise PolicyError(f"table {name!r}", "write schema.table, each in double quotes if it needs them in SQL")
    parts = []
    for part in ("schema", "table"):
        plain, quoted = found[part], found[f"{part}_quoted"]
        if plain is not None and plain != plain.lower():
            raise PolicyError(f"table {name!r}", "put a name with capitals in double quotes")
        parts.append(plain if plain is not None else quoted.replace('""', '"'))
    return parts[0], parts[1]
