"""The catalog's tables, as the newest migration leaves them.

`migrations/versions` makes them; a test holds both together. They carry no schema name here: `catalog.database` puts
the configured one in front of each. Columns that hold parts of a policy are `json`, not `jsonb`: a digest is taken
over exact values, and `jsonb` would turn `1e300` into 301 digits. The audit is partitioned by months, and its partitions are
made and retired by functions (`migrations/audit.sql`).
"""

from __future__ import annotations

import re

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
)

__all__ = [
    "APPEND_ONLY",
    "METADATA",
    "audit_entry",
    "audit_note",
    "cutover",
    "erasure",
    "erasure_offset",
    "erasure_subject",
    "generation",
    "in_schema",
    "is_partition",
    "policy_rule",
    "policy_signature",
    "policy_version",
    "receipt",
    "replay",
    "replay_event",
    "replay_partition",
    "subject_key",
    "worker_presence",
]

METADATA = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    }
)

BY_MONTH = "RANGE (masked_at)"
_PARTITION = re.compile(r"audit_(entry|note)_(default|\d{4}_\d{2})")

policy_version = Table(
    "policy_version",
    METADATA,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("parent", BigInteger, ForeignKey("policy_version.version")),
    Column("digest", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Column("default_method", Text, nullable=False),
    Column("key_epoch", Integer, nullable=False),
    Column("tables", JSON, nullable=False),
    Column("domains", JSON, nullable=False),
    Column("envelopes", JSON, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("revision", Text, nullable=False),
    Column("heads", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("weaker_reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    CheckConstraint("version > 0 AND parent IS NOT DISTINCT FROM nullif(version - 1, 0)", name="follows_parent"),
    CheckConstraint("key_epoch > 0", name="epoch_counts_from_one"),
)
"""One row per version. `heads`: the policy revisions that nothing followed when it was made (one, unless unmerged)."""

policy_rule = Table(
    "policy_rule",
    METADATA,
    Column("version", BigInteger, ForeignKey("policy_version.version"), primary_key=True, autoincrement=False),
    Column("server", Text, primary_key=True),
    Column("table_schema", Text, primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("column_name", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("pattern", Boolean, primary_key=True),
    Column("type", Text),
    Column("method", Text, nullable=False),
    Column("params", JSON, nullable=False),
    Column("strict", Boolean, nullable=False),
    Column("allow_small_domain", Boolean, nullable=False),
    Column("allow_uniqueness_loss", Boolean, nullable=False),
    Column("classification", Text),
    Column("reason", Text),
    Column("ticket", Text),
)
"""All rules of each version. `path` is empty where the rule is about the whole column."""

policy_signature = Table(
    "policy_signature",
    METADATA,
    Column("version", BigInteger, ForeignKey("policy_version.version"), primary_key=True, autoincrement=False),
    Column("key", LargeBinary, primary_key=True),
    Column("signed_at", DateTime(timezone=True), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
"""Who signed which version; `key` is the public key. `cdc_masker.sealing` says what is signed."""

generation = Table(
    "generation",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("output_topic", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("key_epoch", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("generation > 0", name="counts_from_one"),
    CheckConstraint("key_epoch > 0", name="epoch_counts_from_one"),
)
"""The masked copies of each raw topic. `policy_version`: that of the worker which registered it; 0 is "nothing decided".

`state`: `live`, then `closed` or `cancelled`, then `retired`; `migrations/replays.sql` changes it.
"""

audit_entry = Table(
    "audit_entry",
    METADATA,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("incarnation", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("first_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("last_offset", BigInteger, nullable=False),
    Column("masked", BigInteger, nullable=False),
    Column("control", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("gaps", JSON, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("root", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("policy_digest", Text, nullable=False),
    Column("policy_seal", Text, nullable=False),
    Column("shape_version", BigInteger),
    Column("key_epoch", Integer, nullable=False),
    Column("masked_at", DateTime(timezone=True), primary_key=True),
    Column("worker", Text, nullable=False),
    Column("program", Text, nullable=False),
    Column("accepted", JSON(none_as_null=True)),
    Column("stored_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("first_offset >= 0 AND last_offset >= first_offset", name="offsets"),
    CheckConstraint("least(masked, control, quarantined, dropped) >= 0", name="counts"),
    Index("audit_entry_masked_at_idx", "masked_at"),
    postgresql_partition_by=BY_MONTH,
)
"""One row per batch, which `cdc_masker.events.AuditEntry` describes; entries are made from rows byte by byte as they were."""

audit_note = Table(
    "audit_note",
    METADATA,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("incarnation", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("first_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("record_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("record_timestamp", BigInteger, nullable=False),
    Column("fate", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("place", Text),
    Column("masked_at", DateTime(timezone=True), primary_key=True),
    postgresql_partition_by=BY_MONTH,
)
"""One row per record that was not published; `first_offset` and `masked_at` are its batch's, `record_timestamp` Kafka's, in ms.

No foreign key: an entry's hash covers its notes.
"""

subject_key = Table(
    "subject_key",
    METADATA,
    Column("domain", Text, primary_key=True),
    Column("key_epoch", Integer, primary_key=True, autoincrement=False),
    Column("name", LargeBinary, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""The key of one subject in one domain and epoch, wrapped. `name` is a keyed hash of the subject. Erasing deletes the row."""

erasure = Table(
    "erasure",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("begun_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("begun_by", Text, nullable=False),
    Column("completed_at", DateTime(timezone=True)),
)
"""One erasure. It goes on until `completed_at`: then the keys are gone, and its offsets stand."""

erasure_subject = Table(
    "erasure_subject",
    METADATA,
    Column("domain", Text, primary_key=True),
    Column("name", LargeBinary, primary_key=True),
    Column("number", BigInteger, ForeignKey("erasure.number"), primary_key=True, autoincrement=False),
    Index("erasure_subject_number_idx", "number"),
)
"""Whom an erasure is about: a subject, by its name in each domain."""

erasure_offset = Table(
    "erasure_offset",
    METADATA,
    Column("number", BigInteger, ForeignKey("erasure.number"), primary_key=True, autoincrement=False),
    Column("topic", Text, primary_key=True),
    Column("incarnation", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)
"""Up to where records are erased: those before `next_offset`."""

worker_presence = Table(
    "worker_presence",
    METADATA,
    Column("worker", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
    Column("here_until", DateTime(timezone=True), nullable=False),
)
"""The workers that may hold keys of subjects. Those of erasures up to `acknowledged` they hold no more."""

receipt = Table(
    "receipt",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("login", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("subject", LargeBinary),
    Column("reason", Text, nullable=False),
    Column("detail", JSON, nullable=False),
)
"""What somebody did: `erase`, `reveal`, `destroy`, `weaken`, `retire`; `close`, `cancel`, `retire-generation` a generation.

`about`: a domain, column, key, version, month or generation.
"""

replay = Table(
    "replay",
    METADATA,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("policy_version", BigInteger, ForeignKey("policy_version.version"), nullable=False),
    Column("stays", Boolean, nullable=False),
    Column("pattern", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    CheckConstraint("generation > 1", name="counts_from_two"),
)
"""One replay is one generation. `stays`: it goes on behind its bound. `pattern`: a regular expression of its topics."""

replay_partition = Table(
    "replay_partition",
    METADATA,
    Column("generation", Integer, ForeignKey("replay.generation"), primary_key=True, autoincrement=False),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("incarnation", Text, nullable=False),
    Column("start_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger, nullable=False),
    CheckConstraint("start_offset >= 0 AND end_offset >= start_offset", name="offsets"),
)
"""Where a replay begins in a partition, and its bound there, which is exclusive."""

replay_event = Table(
    "replay_event",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("login", Text, nullable=False),
    Column("generation", Integer, ForeignKey("replay.generation"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("kind IN ('pause', 'resume', 'cancel')", name="kind"),
)
"""What a replay was told; the newest tells its state, without any it runs."""

cutover = Table(
    "cutover",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, ForeignKey("replay.generation"), primary_key=True, autoincrement=False),
    Column("closes", Integer, primary_key=True, autoincrement=False),
    Column("last_source_offset", BigInteger, nullable=False),
    Column("old_position", BigInteger, nullable=False),
    Column("new_position", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("login", Text, nullable=False),
    CheckConstraint("closes < generation", name="closes_an_earlier_one"),
)
"""Where consumers go from generation `closes` of a partition to `generation`: from one position of its copy to another."""

APPEND_ONLY = (
    "policy_version",
    "policy_rule",
    "policy_signature",
    "audit_entry",
    "audit_note",
    "erasure_subject",
    "receipt",
    "replay",
    "replay_partition",
    "replay_event",
    "cutover",
)


def is_partition(table: str) -> bool:
    """Whether a table of the catalog is a partition, which is not declared here: they come and go."""
    return _PARTITION.fullmatch(table) is not None


def in_schema(schema: str) -> MetaData:
    """The same tables with a schema name, for comparing them with a database."""
    copy = MetaData(naming_convention=METADATA.naming_convention)
    for table in METADATA.sorted_tables:
        table.to_metadata(copy, schema=schema)
    return copy
