"""The Alembic operations of policy revisions: `op.mask_column(...)` and its kin.

Each only says a change; it runs no SQL. The changes of a whole revision become one policy version when Alembic has
applied it (`catalog.releases`). So `downgrade()` of a policy revision stays empty: going back means replaying one
revision less. Importing this module registers the operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from alembic.operations import MigrateOperation, Operations
from msgspec.structs import replace

from cdc_masker.catalog.changes import (
    AllowHeader,
    AllowWeaker,
    Change,
    Classify,
    Decide,
    Declare,
    Default,
    ForbidHeader,
    Forget,
    ForgetTopic,
    Shape,
    UseKeyEpoch,
    parse_table,
)
from cdc_masker.errors import PolicyError
from cdc_masker.policies import ANY_SERVER, Domain, EnvelopeShape, Rule, TableDefault
from cdc_masker.rules import check_reason

__all__ = ["SAID", "PolicyOperation"]

SAID = "cdc_masker_changes"
"""The option of Alembic's migration context that holds the list of changes said so far."""

TableName = str | tuple[str, str]


@Operations.register_operation("mask_column")
@Operations.register_operation("keep_column")
@Operations.register_operation("mask_columns")
@Operations.register_operation("drop_column")
@Operations.register_operation("classify_column")
@Operations.register_operation("default_table")
@Operations.register_operation("forget_column")
@Operations.register_operation("forget_columns")
@Operations.register_operation("declare_domain")
@Operations.register_operation("allow_header")
@Operations.register_operation("forbid_header")
@Operations.register_operation("shape_topic")
@Operations.register_operation("forget_topic")
@Operations.register_operation("use_key_epoch")
@Operations.register_operation("allow_weaker")
class PolicyOperation(MigrateOperation):
    """One change of the policy, as Alembic carries it."""

    def __init__(self, change: Change) -> None:
        self.change = change

    @classmethod
    def mask_column(cls, operations: Operations, table: TableName, column: str, *, method: str, **said: Any) -> None:
        """Masks a column with a method. Replaces an earlier rule.

        What more is `said`, each by its name: `type`, the column's PostgreSQL type, which methods need where events carry no
        schema; `server`; `path`; `strict`, which quarantines a record with a value that the method can't take, where else the
        value is redacted; `allow_small_domain` and `allow_uniqueness_loss`, which accept, with a `reason`, what is refused
        otherwise (`cdc_masker.policies.Rule`); `classification`, `reason`, `ticket`. The method's parameters are all further
        keywords, or `params`. Raises `PolicyError` for a table name that can't be read, or such a reason that is missing; the
        method and its parameters are checked when the revision is applied.
        """
        rule = _rule(*parse_table(table), column, method=method, **said)
        operations.invoke(cls(Decide(_accounted_for(rule))))

    @classmethod
    def mask_columns(cls, operations: Operations, tables: str, columns: str, *, method: str, **said: Any) -> None:
        """Masks all columns that match, of tables that match, unless a rule names them or a pattern says more.

        `tables` is `schema.table`, and each name in it, like `columns` and `server`, may be `*` or have one at its start, its
        end or both. The rest is as for `mask_column`; `method="keep"` needs a reason.
        """
        schema, _, name = tables.partition(".")
        rule = _rule(schema, name, columns, method=method, **said)
        operations.invoke(cls(Decide(_accounted_for(replace(rule, pattern=True)))))

    @classmethod
    def keep_column(
        cls,
        operations: Operations,
        table: TableName,
        column: str,
        *,
        reason: str,
        type: str | None = None,  # noqa: A002 - named as in the policy document
        server: str = ANY_SERVER,
        path: str | None = None,
        classification: str | None = None,
        ticket: str | None = None,
    ) -> None:
        """Lets a column pass as it is. `reason` says why that is right, for whoever reads the audit."""
        cls.mask_column(
            operations,
            table,
            column,
            method="keep",
            type=type,
            server=server,
            path=path,
            classification=classification,
            reason=reason,
            ticket=ticket,
        )

    @classmethod
    def drop_column(
        cls,
        operations: Operations,
        table: TableName,
        column: str,
        *,
        server: str = ANY_SERVER,
        reason: str | None = None,
        ticket: str | None = None,
    ) -> None:
        """Leaves a column out, of rows and of schemas. It can't be one of the key's."""
        cls.mask_column(operations, table, column, method="drop", server=server, reason=reason, ticket=ticket)

    @classmethod
    def classify_column(
        cls,
        operations: Operations,
        table: TableName,
        column: str,
        *,
        classification: str,
        server: str = ANY_SERVER,
        path: str | None = None,
        reason: str | None = None,
        ticket: str | None = None,
    ) -> None:
        """Says what a column holds. Its rule stays as it is; without one, a rule redacts it from now on."""
        schema, name = parse_table(table)
        operations.invoke(cls(Classify((server, schema, name, column, path or ""), classification, reason, ticket)))

    @classmethod
    def default_table(
        cls,
        operations: Operations,
        table: TableName,
        default: Literal["redact", "drop", "quarantine"],
        *,
        server: str = ANY_SERVER,
        reason: str | None = None,
        ticket: str | None = None,
    ) -> None:
        """Says what happens to the columns of a table that no rule is about: redacted as everywhere, dropped, or the record
        that has one is quarantined.
        """
        schema, name = parse_table(table)
        stated = TableDefault(server=server, schema=schema, table=name, default=default, reason=reason, ticket=ticket)
        operations.invoke(cls(Default(stated)))

    @classmethod
    def forget_column(
        cls,
        operations: Operations,
        table: TableName,
        column: str,
        *,
        server: str = ANY_SERVER,
        path: str | None = None,
    ) -> None:
        """Takes a rule away: the default holds for the column again. There must be a rule."""
        schema, name = parse_table(table)
        operations.invoke(cls(Forget((server, schema, name, column, path or ""))))

    @classmethod
    def forget_columns(
        cls,
        operations: Operations,
        tables: str,
        columns: str,
        *,
        server: str = ANY_SERVER,
        path: str | None = None,
    ) -> None:
        """Takes a rule of `mask_columns` away, named by the same patterns."""
        schema, _, name = tables.partition(".")
        operations.invoke(cls(Forget((server, schema, name, columns, path or ""), pattern=True)))

    @classmethod
    def declare_domain(
        cls,
        operations: Operations,
        name: str,
        *,
        type: str | None = None,  # noqa: A002 - named as in the policy document
        fold_case: bool = False,
        per_subject: bool = False,
    ) -> None:
        """Says in which form values of a domain are compared, and whether each subject has keys of its own there."""
        operations.invoke(cls(Declare(Domain(name=name, type=type, fold_case=fold_case, per_subject=per_subject))))

    @classmethod
    def allow_header(cls, operations: Operations, name: str) -> None:
        """Lets record headers of this name pass."""
        operations.invoke(cls(AllowHeader(name)))

    @classmethod
    def forbid_header(cls, operations: Operations, name: str) -> None:
        """Leaves record headers of this name out again."""
        operations.invoke(cls(ForbidHeader(name)))

    @classmethod
    def shape_topic(
        cls,
        operations: Operations,
        topic: str,
        *,
        shape: Literal["debezium", "flattened", "signals"],
        table: TableName | None = None,
        server: str | None = None,
        reason: str | None = None,
        ticket: str | None = None,
    ) -> None:
        """Says what shape the events of a topic have, and whose rows they are where the topic's name doesn't tell.

        `signals` are dropped while no rule names their table.
        """
        schema, name = (None, None) if table is None else parse_table(table)
        stated = EnvelopeShape(topic=topic, shape=shape, server=server, schema=schema, table=name, reason=reason, ticket=ticket)
        operations.invoke(cls(Shape(stated)))

    @classmethod
    def forget_topic(cls, operations: Operations, topic: str) -> None:
        """Takes back what `shape_topic` said."""
        operations.invoke(cls(ForgetTopic(topic)))

    @classmethod
    def allow_weaker(cls, operations: Operations, reason: str) -> None:
        """Lets this revision mask less than the one before: keep what was not kept, say more of a value, join more columns, or
        change a default. `reason` is kept with the version that is made.
        """
        if not reason.strip():
            raise PolicyError("allow_weaker", "give a reason, for whoever asks why less is masked")
        operations.invoke(cls(AllowWeaker(reason)))

    @classmethod
    def use_key_epoch(cls, operations: Operations, epoch: int) -> None:
        """Derives all keys from the root key of this epoch, for new generations of masked topics.

        Generations that began under another epoch stay under the newest version of theirs. Raises `PolicyError` for what
        is no epoch; one that is in force already is refused when the revision is applied.
        """
        if epoch < 1:
            raise PolicyError(f"use_key_epoch {epoch}", "epochs are counted from 1")
        operations.invoke(cls(UseKeyEpoch(epoch)))


def _rule(
    schema: str,
    table: str,
    column: str,
    *,
    method: str,
    type: str | None = None,  # noqa: A002 - named as in the policy document
    server: str = ANY_SERVER,
    path: str | None = None,
    strict: bool = False,
    allow_small_domain: bool = False,
    allow_uniqueness_loss: bool = False,
    classification: str | None = None,
    reason: str | None = None,
    ticket: str | None = None,
    params: Mapping[str, Any] | None = None,
    **more_params: Any,
) -> Rule:
    """Raises `PolicyError` for a parameter that is given twice."""
    if twice := sorted(set(params or {}) & set(more_params)):
        raise PolicyError(f"rule {schema}.{table}.{column}{path or ''}", f"{', '.join(twice)} stands twice; give it once")
    return Rule(
        server=server,
        schema=schema,
        table=table,
        column=column,
        path=path or None,
        type=type,
        method=method,
        params={**(params or {}), **more_params},
        strict=strict,
        allow_small_domain=allow_small_domain,
        allow_uniqueness_loss=allow_uniqueness_loss,
        classification=classification,
        reason=reason,
        ticket=ticket,
    )


def _accounted_for(rule: Rule) -> Rule:
    """Raises `PolicyError` where something is in the clear, or accepted, and nobody says why."""
    if rule.method == "keep" and not (rule.reason or "").strip():
        raise PolicyError(rule.place, "give a reason, for whoever asks why this is in the clear")
    check_reason(rule)
    return rule


@Operations.implementation_for(PolicyOperation)
def _say(operations: Operations, operation: PolicyOperation) -> None:
    said = operations.migration_context.opts.get(SAID)
    if said is None:
        raise PolicyError("env.py", "must call cdc_masker.catalog.environment.run(), which makes the policy version")
    said.append(operation.change)
