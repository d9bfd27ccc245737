"""Add replays: new generations of raw topics with a beginning and a bound, what they are told, and where they were cut over.

Revision ID: catalog_0002

The tables are append-only. They and the states of generations are changed by the functions of `replays.sql` only, which the new
role of an operator may call. Going down works while no replay was begun; the role stays.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "catalog_0002"
down_revision = "catalog_0001"
branch_labels = None
depends_on = None

SCRIPTS = Path(__file__).parents[1]
TABLES = ("replay", "replay_partition", "replay_event", "cutover")
READ_BY_OPERATORS = (
    "policy_version",
    "policy_rule",
    "policy_signature",
    "generation",
    "audit_entry",
    "audit_note",
    "alembic_version",
)
FOR_OPERATORS = (
    "begin_replay(integer, bigint, boolean, text, text, json, json)",
    "tell_replay(integer, text, text)",
    "close_generation(integer, text[], text)",
    "record_cutovers(json)",
    "retire_generation(integer, text[], text)",
)
HELPERS = ("refuse_cancelled()",)


def upgrade() -> None:
    schema = str(op.get_context().version_table_schema)
    _drop_guard(schema)
    op.execute(
        f"""\
DO $$ BEGIN
  CREATE ROLE "{schema}_operator" NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$"""
    )
    op.execute(f'SET LOCAL ROLE "{schema}_owner"')
    _make_tables(schema)
    for statement in (SCRIPTS / "replays.sql").read_text().split("\n\n\n"):
        op.execute(statement.replace("SCHEMA.", f'"{schema}".'))
    _make_triggers(schema)
    _grant(schema)
    op.execute("RESET ROLE")
    _make_guard(schema)


def downgrade() -> None:
    schema = str(op.get_context().version_table_schema)
    _drop_guard(schema)
    op.execute(f'SET LOCAL ROLE "{schema}_owner"')
    for table in TABLES:
        op.execute(
            f"""\
DO $$ BEGIN
  IF EXISTS (SELECT FROM "{schema}".{table}) THEN
    RAISE EXCEPTION 'table {table} is not empty; a catalog that was used is not taken down by a migration';
  END IF;
END $$"""
        )
    for trigger in ("refuse_cancelled", "tell"):
        op.execute(f'DROP TRIGGER {trigger} ON "{schema}".generation')
    for function in (*FOR_OPERATORS, *HELPERS):
        op.execute(f'DROP FUNCTION "{schema}".{function}')
    for table in reversed(TABLES):
        op.drop_table(table, schema=schema)
    (before,) = (
        each for each in (SCRIPTS / "subjects.sql").read_text().split("\n\n\n") if "FUNCTION SCHEMA.write_receipt(" in each
    )
    op.execute(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace("SCHEMA.", f'"{schema}".'))
    for statement in (
        f'REVOKE ALL ON ALL TABLES IN SCHEMA "{schema}" FROM "{schema}_operator"',
        f'REVOKE ALL ON SCHEMA "{schema}" FROM "{schema}_operator"',
    ):
        op.execute(statement)
    op.execute("RESET ROLE")
    _make_guard(schema)


def _drop_guard(schema: str) -> None:
    for guard in ("alter", "drop"):
        op.execute(f'DROP EVENT TRIGGER IF EXISTS "{schema}_guard_{guard}"')


def _make_guard(schema: str) -> None:
    op.execute((SCRIPTS / "guard.sql").read_text().replace("@catalog@", schema))


def _make_tables(schema: str) -> None:
    op.create_table(
        "replay",
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("policy_version", sa.BigInteger, nullable=False),
        sa.Column("stays", sa.Boolean, nullable=False),
        sa.Column("pattern", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("generation", name="replay_pkey"),
        sa.ForeignKeyConstraint(["policy_version"], [f"{schema}.policy_version.version"], name="replay_policy_version_fkey"),
        sa.CheckConstraint("generation > 1", name=op.f("replay_counts_from_two_check")),
        schema=schema,
    )
    op.create_table(
        "replay_partition",
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("start_offset", sa.BigInteger, nullable=False),
        sa.Column("end_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("generation", "topic", "partition", name="replay_partition_pkey"),
        sa.ForeignKeyConstraint(["generation"], [f"{schema}.replay.generation"], name="replay_partition_generation_fkey"),
        sa.CheckConstraint("start_offset >= 0 AND end_offset >= start_offset", name=op.f("replay_partition_offsets_check")),
        schema=schema,
    )
    op.create_table(
        "replay_event",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="replay_event_pkey"),
        sa.ForeignKeyConstraint(["generation"], [f"{schema}.replay.generation"], name="replay_event_generation_fkey"),
        sa.CheckConstraint("kind IN ('pause', 'resume', 'cancel')", name=op.f("replay_event_kind_check")),
        schema=schema,
    )
    op.create_table(
        "cutover",
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("closes", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("last_source_offset", sa.BigInteger, nullable=False),
        sa.Column("old_position", sa.BigInteger, nullable=False),
        sa.Column("new_position", sa.BigInteger, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("login", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "generation", "closes", name="cutover_pkey"),
        sa.ForeignKeyConstraint(["generation"], [f"{schema}.replay.generation"], name="cutover_generation_fkey"),
        sa.CheckConstraint("closes < generation", name=op.f("cutover_closes_an_earlier_one_check")),
        schema=schema,
    )


def _make_triggers(schema: str) -> None:
    for table in TABLES:
        for trigger, event, each in (
            ("append_only", "UPDATE OR DELETE", "ROW"),
            ("append_only_truncate", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f'CREATE TRIGGER {trigger} BEFORE {event} ON "{schema}".{table} '
                f'FOR EACH {each} EXECUTE FUNCTION "{schema}".refuse_change()'
            )
            op.execute(f'ALTER TABLE "{schema}".{table} ENABLE ALWAYS TRIGGER {trigger}')
    for event, table in (("INSERT", "replay_event"), ("UPDATE", "generation")):
        op.execute(
            f'CREATE TRIGGER tell AFTER {event} ON "{schema}".{table} FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".tell()'
        )
    op.execute(
        f'CREATE TRIGGER refuse_cancelled BEFORE INSERT ON "{schema}".generation '
        f'FOR EACH ROW EXECUTE FUNCTION "{schema}".refuse_cancelled()'
    )


def _grant(schema: str) -> None:
    operator, worker, auditor = (f'"{schema}_{role}"' for role in ("operator", "worker", "auditor"))

    def named(*names: str) -> str:
        return ", ".join(f'"{schema}".{name}' for name in names)

    for statement in (
        f"REVOKE ALL ON TABLE {named(*TABLES)} FROM PUBLIC",
        f"REVOKE ALL ON FUNCTION {named(*FOR_OPERATORS, *HELPERS)} FROM PUBLIC",
        f'GRANT USAGE ON SCHEMA "{schema}" TO {operator}',
        f"GRANT SELECT ON {named(*READ_BY_OPERATORS)} TO {operator}",
        f"GRANT SELECT ON {named(*TABLES)} TO {operator}, {worker}, {auditor}",
        f"GRANT EXECUTE ON FUNCTION {named(*FOR_OPERATORS)} TO {operator}",
    ):
        op.execute(statement)
