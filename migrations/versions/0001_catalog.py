"""Make the catalog: policies, generations, audit, keys of subjects, receipts, and the roles that may use them.

Revision ID: catalog_0001

Everything belongs to the owner role, which can't log in. What is append-only refuses UPDATE, DELETE and TRUNCATE by
triggers that fire for everybody, the owner and a replicating superuser included. Versions are inserted and signed by the
functions of `releases.sql` only, and what is about subjects is changed by those of `subjects.sql`. The audit is partitioned by
months, which the functions of `audit.sql` make and retire. What is news to workers is told on a channel with the schema's name.
Where the login may make event triggers, `guard.sql` keeps all of it from being altered or dropped. Going down works while the
tables are empty; the roles stay, since other databases of the cluster may use them.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "catalog_0001"
down_revision = None
branch_labels = "catalog"
depends_on = None

SCRIPTS = [Path(__file__).parents[1] / name for name in ("releases.sql", "subjects.sql", "audit.sql")]
GUARD = Path(__file__).parents[1] / "guard.sql"
READ_BY_WORKERS = ("policy_version", "policy_rule", "policy_signature", "generation", "audit_entry", "audit_note")
OF_SUBJECTS = ("subject_key", "erasure", "erasure_subject", "erasure_offset", "worker_presence", "receipt")
APPEND_ONLY = (*(table for table in READ_BY_WORKERS if table != "generation"), "erasure_subject", "receipt")
TOLD = ("policy_version", "policy_signature", "erasure")
TABLES = (*READ_BY_WORKERS, *OF_SUBJECTS)
FOR_MIGRATORS = ("release_policy(json, text, text)",)
FOR_SIGNERS = ("sign_policy(bigint, text, bytea, timestamp with time zone, bytea)",)
FOR_WORKERS = (
    "subject_keys(json, text, text, integer, bigint)",
    "worker_is_here(uuid, text, bigint, double precision)",
    "worker_leaves(uuid)",
    "make_audit_partitions()",
)
FOR_CUSTODIANS = ("begin_erasure(json, text)", "complete_erasure(bigint[], json)", "write_receipt(text, text, text, json)")
FOR_RETENTION = ("retire_audit(json)",)
FOR_LOOKING = ("missing_audit_partitions()", "misplaced_audit_months()")
HELPERS = ("policy_seal(text[])", "make_audit_partition(text, text, text)")
FUNCTIONS = (*FOR_MIGRATORS, *FOR_SIGNERS, *FOR_WORKERS, *FOR_CUSTODIANS, *FOR_RETENTION, *FOR_LOOKING, *HELPERS)


def upgrade() -> None:
    schema = str(op.get_context().version_table_schema)
    for role in ("migrator", "signer", "worker", "auditor", "custodian", "retention"):
        op.execute(_make_role(f"{schema}_{role}"))
    op.execute(f'ALTER TABLE "{schema}".alembic_version OWNER TO "{schema}_owner"')
    op.execute(f'SET LOCAL ROLE "{schema}_owner"')
    _make_tables(schema)
    _make_tables_of_subjects(schema)
    _make_append_only(schema)
    _make_told(schema)
    for script in SCRIPTS:
        for statement in script.read_text().split("\n\n\n"):
            op.execute(statement.replace("SCHEMA.", f'"{schema}".').replace("GUARD.", f'"{schema}_guard".'))
    _grant(schema)
    op.execute("RESET ROLE")
    op.execute(GUARD.read_text().replace("@catalog@", schema))


def downgrade() -> None:
    schema = str(op.get_context().version_table_schema)
    for guard in ("alter", "drop"):
        op.execute(f'DROP EVENT TRIGGER IF EXISTS "{schema}_guard_{guard}"')
    op.execute(f'DROP SCHEMA IF EXISTS "{schema}_guard" CASCADE')
    op.execute(f'SET LOCAL ROLE "{schema}_owner"')
    for table in TABLES:
        if table == "worker_presence":
            continue  # which says nothing of what was done
        op.execute(
            f"""\
DO $$ BEGIN
  IF EXISTS (SELECT FROM "{schema}".{table}) THEN
    RAISE EXCEPTION 'table {table} is not empty; a catalog that was used is not taken down by a migration';
  END IF;
END $$"""
        )
    for function in FUNCTIONS:
        op.execute(f'DROP FUNCTION "{schema}".{function}')
    for table in reversed(TABLES):
        op.drop_table(table, schema=schema)
    op.execute(f'DROP FUNCTION "{schema}".refuse_change()')
    op.execute(f'DROP FUNCTION "{schema}".tell()')
    op.execute("RESET ROLE")


def _make_role(role: str) -> str:
    # Roles are cluster-wide: another database's catalog may have made it, or be making it now.
    return f"""\
DO $$ BEGIN
  CREATE ROLE "{role}" NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$"""


def _make_tables(schema: str) -> None:
    op.create_table(
        "policy_version",
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("parent", sa.BigInteger),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("seal", sa.Text, nullable=False),
        sa.Column("default_method", sa.Text, nullable=False),
        sa.Column("key_epoch", sa.Integer, nullable=False),
        sa.Column("tables", sa.JSON, nullable=False),
        sa.Column("domains", sa.JSON, nullable=False),
        sa.Column("envelopes", sa.JSON, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("heads", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("weaker_reason", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("version", name="policy_version_pkey"),
        sa.ForeignKeyConstraint(["parent"], [f"{schema}.policy_version.version"], name="policy_version_parent_fkey"),
        sa.CheckConstraint(
            "version > 0 AND parent IS NOT DISTINCT FROM nullif(version - 1, 0)",
            name=op.f("policy_version_follows_parent_check"),
        ),
        sa.CheckConstraint("key_epoch > 0", name=op.f("policy_version_epoch_counts_from_one_check")),
        schema=schema,
    )
    op.create_table(
        "policy_rule",
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("server", sa.Text, nullable=False),
        sa.Column("table_schema", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("column_name", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("pattern", sa.Boolean, nullable=False),
        sa.Column("type", sa.Text),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("strict", sa.Boolean, nullable=False),
        sa.Column("allow_small_domain", sa.Boolean, nullable=False),
        sa.Column("allow_uniqueness_loss", sa.Boolean, nullable=False),
        sa.Column("classification", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("ticket", sa.Text),
        sa.PrimaryKeyConstraint(
            "version", "server", "table_schema", "table_name", "column_name", "path", "pattern", name="policy_rule_pkey"
        ),
        sa.ForeignKeyConstraint(["version"], [f"{schema}.policy_version.version"], name="policy_rule_version_fkey"),
        schema=schema,
    )
    op.create_table(
        "policy_signature",
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("version", "key", name="policy_signature_pkey"),
        sa.ForeignKeyConstraint(["version"], [f"{schema}.policy_version.version"], name="policy_signature_version_fkey"),
        schema=schema,
    )
    op.create_table(
        "generation",
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("output_topic", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("policy_version", sa.BigInteger, nullable=False),
        sa.Column("key_epoch", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "generation", name="generation_pkey"),
        sa.UniqueConstraint("output_topic", name="generation_output_topic_key"),
        sa.CheckConstraint("generation > 0", name=op.f("generation_counts_from_one_check")),
        sa.CheckConstraint("key_epoch > 0", name=op.f("generation_epoch_counts_from_one_check")),
        schema=schema,
    )
    op.create_table(
        "audit_entry",
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("first_offset", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("last_offset", sa.BigInteger, nullable=False),
        sa.Column("masked", sa.BigInteger, nullable=False),
        sa.Column("control", sa.BigInteger, nullable=False),
        sa.Column("quarantined", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("gaps", sa.JSON, nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("policy_version", sa.BigInteger, nullable=False),
        sa.Column("policy_digest", sa.Text, nullable=False),
        sa.Column("policy_seal", sa.Text, nullable=False),
        sa.Column("shape_version", sa.BigInteger),
        sa.Column("key_epoch", sa.Integer, nullable=False),
        sa.Column("masked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("program", sa.Text, nullable=False),
        sa.Column("accepted", sa.JSON),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint(
            "generation", "incarnation", "topic", "partition", "first_offset", "masked_at", name="audit_entry_pkey"
        ),
        sa.CheckConstraint("first_offset >= 0 AND last_offset >= first_offset", name=op.f("audit_entry_offsets_check")),
        sa.CheckConstraint("least(masked, control, quarantined, dropped) >= 0", name=op.f("audit_entry_counts_check")),
        schema=schema,
        postgresql_partition_by="RANGE (masked_at)",
    )
    op.create_index("audit_entry_masked_at_idx", "audit_entry", ["masked_at"], schema=schema)
    op.create_table(
        "audit_note",
        sa.Column("generation", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("first_offset", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("record_offset", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("record_timestamp", sa.BigInteger, nullable=False),
        sa.Column("fate", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("place", sa.Text),
        sa.Column("masked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "generation",
            "incarnation",
            "topic",
            "partition",
            "first_offset",
            "record_offset",
            "masked_at",
            name="audit_note_pkey",
        ),
        schema=schema,
        postgresql_partition_by="RANGE (masked_at)",
    )


def _make_tables_of_subjects(schema: str) -> None:
    op.create_table(
        "subject_key",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("key_epoch", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "key_epoch", "name", name="subject_key_pkey"),
        schema=schema,
    )
    op.create_table(
        "erasure",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("begun_by", sa.Text, nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("number", name="erasure_pkey"),
        schema=schema,
    )
    op.create_table(
        "erasure_subject",
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("domain", "name", "number", name="erasure_subject_pkey"),
        sa.ForeignKeyConstraint(["number"], [f"{schema}.erasure.number"], name="erasure_subject_number_fkey"),
        schema=schema,
    )
    op.create_index("erasure_subject_number_idx", "erasure_subject", ["number"], schema=schema)
    op.create_table(
        "erasure_offset",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", "topic", "incarnation", "partition", name="erasure_offset_pkey"),
        sa.ForeignKeyConstraint(["number"], [f"{schema}.erasure.number"], name="erasure_offset_number_fkey"),
        schema=schema,
    )
    op.create_table(
        "worker_presence",
        sa.Column("worker", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("acknowledged", sa.BigInteger, nullable=False),
        sa.Column("here_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("worker", name="worker_presence_pkey"),
        schema=schema,
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("subject", sa.LargeBinary),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="receipt_pkey"),
        schema=schema,
    )


def _make_append_only(schema: str) -> None:
    op.execute(
        f"""\
CREATE FUNCTION "{schema}".refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% of %: this table is append-only', TG_OP, TG_TABLE_NAME;
END $$"""
    )
    for table in APPEND_ONLY:
        # By row, so that partitions inherit it and a replication worker meets it, too; TRUNCATE knows no rows.
        for trigger, event, each in (
            ("append_only", "UPDATE OR DELETE", "ROW"),
            ("append_only_truncate", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f'CREATE TRIGGER {trigger} BEFORE {event} ON "{schema}".{table} '
                f'FOR EACH {each} EXECUTE FUNCTION "{schema}".refuse_change()'
            )
            op.execute(f'ALTER TABLE "{schema}".{table} ENABLE ALWAYS TRIGGER {trigger}')


def _make_told(schema: str) -> None:
    op.execute(
        f"""\
CREATE FUNCTION "{schema}".tell() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_notify(TG_TABLE_SCHEMA, TG_TABLE_NAME);
  RETURN NULL;
END $$"""
    )
    for table in TOLD:
        op.execute(
            f'CREATE TRIGGER tell AFTER INSERT ON "{schema}".{table} FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".tell()'
        )


def _grant(schema: str) -> None:
    roles = ("worker", "migrator", "signer", "auditor", "custodian", "retention")
    worker, migrator, signer, auditor, custodian, retention = (f'"{schema}_{role}"' for role in roles)
    policies = ("policy_version", "policy_rule", "policy_signature")

    def named(*names: str) -> str:
        return ", ".join(f'"{schema}".{name}' for name in names)

    read_by_auditors = (*READ_BY_WORKERS, *OF_SUBJECTS[1:], "alembic_version")
    read_by_custodians = (*policies, "generation", *OF_SUBJECTS)
    for statement in (
        f'REVOKE ALL ON SCHEMA "{schema}" FROM PUBLIC',
        f"REVOKE ALL ON TABLE {named(*TABLES, 'alembic_version')} FROM PUBLIC",
        f"REVOKE ALL ON FUNCTION {named('refuse_change()', 'tell()', *FUNCTIONS)} FROM PUBLIC",
        f'GRANT USAGE ON SCHEMA "{schema}" TO {worker}, {migrator}, {signer}, {auditor}, {custodian}, {retention}',
        f"GRANT SELECT ON {named(*READ_BY_WORKERS, 'alembic_version')} TO {worker}",
        f"GRANT INSERT ON {named('generation', 'audit_entry', 'audit_note')} TO {worker}",
        f"GRANT EXECUTE ON FUNCTION {named(*FOR_WORKERS)} TO {worker}",
        f"GRANT SELECT ON {named(*policies)} TO {migrator}, {signer}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {named('alembic_version')} TO {migrator}",
        f"GRANT EXECUTE ON FUNCTION {named(*FOR_MIGRATORS)} TO {migrator}",
        f"GRANT EXECUTE ON FUNCTION {named(*FOR_SIGNERS)} TO {signer}",
        f"GRANT SELECT ON {named(*read_by_auditors)} TO {auditor}",
        f"GRANT SELECT (domain, key_epoch, name, created_at) ON {named('subject_key')} TO {auditor}",
        f"GRANT SELECT ON {named(*read_by_custodians)} TO {custodian}",
        f"GRANT EXECUTE ON FUNCTION {named(*FOR_CUSTODIANS)} TO {custodian}",
        f"GRANT SELECT ON {named('audit_entry', 'audit_note', 'receipt')} TO {retention}",
        f"GRANT EXECUTE ON FUNCTION {named(*FOR_RETENTION)} TO {retention}",
        f"GRANT EXECUTE ON FUNCTION {named(*FOR_LOOKING)} TO {worker}, {auditor}",
    ):
        op.execute(statement)
