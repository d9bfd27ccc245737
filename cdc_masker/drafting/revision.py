"""A draft as the text of an Alembic revision, for people to review.

The same draft gives the same text, and the text says exactly the draft's rules, whatever names the source has: each stands
quoted, in calls as in comments. It is laid out so that neither black nor ruff would change it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from cdc_masker.drafting.proposals import Draft, Proposal
from cdc_masker.drafting.tables import TableName
from cdc_masker.policies import Domain, Rule

__all__ = ["identifier", "message", "render"]

_WIDTH = 88
_INDENT = " " * 4
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")

_HEAD = '''\
"""{message}

Drafted by `cdc-masker policy draft` from the catalog of the source. Read each line
before you apply it: what stands here was guessed.
"""

from __future__ import annotations

from alembic import op

revision = {revision}
down_revision = {down_revision}
branch_labels = {branch_labels}
depends_on = {depends_on}


def upgrade() -> None:
'''
_TAIL = '''

def downgrade() -> None:
    """Nothing to say: going back releases the policy before this revision."""
'''


def message(draft: Draft) -> str:
    """What the draft does, in one line."""
    tables = {(each.rule.schema, each.rule.table) for each in draft.proposals}
    return f"Decide on {_count(len(draft.proposals), 'column')} of {_count(len(tables), 'table')}"


def identifier(draft: Draft, after: str | None) -> str:
    """The revision's id: the same for the same draft after the same revision."""
    return hashlib.sha256(f"{after}\n{_body(draft)}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def render(draft: Draft, *, after: str | None, said: str) -> str:
    """The revision that follows revision `after`; None: the first one of a policy. `said` is its message."""
    head = _HEAD.format(
        message=_in_docstring(said),
        revision=_quoted(identifier(draft, after)),
        down_revision=_literal(after),
        branch_labels=_literal("policy" if after is None else None),
        depends_on=_literal("catalog" if after is None else None),
    )
    return head + _body(draft) + _TAIL


def _body(draft: Draft) -> str:
    blocks = ["".join(map(_domain, draft.domains))] if draft.domains else []
    by_table = groupby(draft.proposals, lambda each: TableName(each.rule.schema, each.rule.table))
    blocks += ["".join(_proposals(table, list(proposals))) for table, proposals in by_table]
    return "\n".join(blocks)


def _domain(domain: Domain) -> str:
    return _call("declare_domain", [_quoted(domain.name), f"type={_literal(domain.type)}"])


def _proposals(table: TableName, proposals: Iterable[Proposal]) -> Iterator[str]:
    for each in proposals:
        hints = [f"or: {hint}" for hint in each.hints]
        yield from _comment("; ".join([*each.evidence, *hints]))
        yield _call("mask_column", [_table(table), *_arguments(each.rule)])


def _arguments(rule: Rule) -> Iterator[str]:
    yield _quoted(rule.column)
    if rule.type is not None:
        yield f"type={_quoted(rule.type)}"
    yield f"method={_quoted(rule.method)}"
    for name, value in rule.params.items():
        yield f"{name}={_literal(value)}"
    for name in ("allow_small_domain", "allow_uniqueness_loss", "classification", "reason"):
        if value := getattr(rule, name):
            yield f"{name}={_literal(value)}"


def _table(table: TableName) -> str:
    if all(map(_PLAIN.fullmatch, table)):
        return _quoted(f"{table.schema}.{table.table}")
    return f"({', '.join(map(_quoted, table))})"


def _call(operation: str, arguments: list[str]) -> str:
    line = f"{_INDENT}op.{operation}({', '.join(arguments)})\n"
    if len(line) <= _WIDTH + 1:
        return line
    return f"{_INDENT}op.{operation}(\n" + "".join(f"{_INDENT * 2}{each},\n" for each in arguments) + f"{_INDENT})\n"


def _comment(text: str) -> Iterator[str]:
    """Lines of it, broken at blanks. What it quotes from the source has no line end in it."""
    line = f"{_INDENT}#"
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH and line.strip() != "#":
            yield line + "\n"
            line = f"{_INDENT}#"
        line += f" {word}"
    if line.strip() != "#":
        yield line + "\n"


def _literal(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """A string literal with the quotes that formatters choose: double ones unless these need more escapes."""
    escaped = _escaped(text)
    double, single = escaped.replace('"', '\\"'), escaped.replace("'", "\\'")
    return f'"{double}"' if len(double) <= len(single) else f"'{single}'"


def _in_docstring(text: str) -> str:
    return _escaped(" ".join(text.split())).replace('"', '\\"')


def _escaped(text: str) -> str:
    """As in a literal, but for quotes."""
    return re.sub(r"""[^'"]+""", lambda part: repr(part[0])[1:-1], text)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("s" if number != 1 else "")
