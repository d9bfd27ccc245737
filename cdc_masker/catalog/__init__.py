"""The catalog: policies, generations and audit rows in a PostgreSQL schema of their own.

tables        the tables as values          database      address, TLS, pool, what refusals mean
policies, generations, replays, audit, subjects, receipts    the ports of `cdc_masker.ports` on it
chain         versions, verified            verifying     all of it, for people
trail         the audit's rows, by chain  entries       the same by what they tell
signatures    of versions                 guarding      what keeps rows from being changed
partitions    of the audit                retention     takes months out of it
operations    `op.mask_column` and kin      changes       what they say, and the policy that follows
releases      revisions → policy versions   environment   what an Alembic `env.py` calls
commands      migrations from a program
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cdc_masker.catalog.audit import PostgresAudit
from cdc_masker.catalog.database import Database
from cdc_masker.catalog.entries import PostgresEntries
from cdc_masker.catalog.generations import PostgresGenerations
from cdc_masker.catalog.guarding import Guarding
from cdc_masker.catalog.partitions import Partitions
from cdc_masker.catalog.policies import PostgresPolicies
from cdc_masker.catalog.receipts import PostgresReceipts
from cdc_masker.catalog.replays import PostgresReplays
from cdc_masker.catalog.retention import Retention
from cdc_masker.catalog.signatures import PostgresSignatures
from cdc_masker.catalog.subjects import PostgresErasures, PostgresSubjects
from cdc_masker.catalog.trail import PostgresTrail
from cdc_masker.catalog.verifying import Verifier
from cdc_masker.errors import SetupError
from cdc_masker.sealing import public_key
from cdc_masker.settings import PREFIX, Settings

__all__ = ["Catalog", "open_catalog", "read_public_key"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog's ports, on one small pool of connections."""

    policies: PostgresPolicies
    generations: PostgresGenerations
    replays: PostgresReplays
    audit: PostgresAudit
    subjects: PostgresSubjects
    erasures: PostgresErasures
    receipts: PostgresReceipts
    signatures: PostgresSignatures
    verifier: Verifier
    trail: PostgresTrail
    entries: PostgresEntries
    guarding: Guarding
    partitions: Partitions
    retention: Retention


@asynccontextmanager
async def open_catalog(settings: Settings) -> AsyncIterator[Catalog]:
    """The catalog that the settings name; it connects when first used.

    Raises `SetupError` for an unusable address, or file of the public key.
    """
    key = None if settings.policy_key_file is None else read_public_key(settings.policy_key_file)
    database = Database(settings)
    try:
        yield Catalog(
            policies=PostgresPolicies(database, key),
            generations=PostgresGenerations(database, settings.output_prefix),
            replays=PostgresReplays(database, settings.output_prefix),
            audit=PostgresAudit(database),
            subjects=PostgresSubjects(database),
            erasures=PostgresErasures(database),
            receipts=PostgresReceipts(database),
            signatures=PostgresSignatures(database),
            verifier=Verifier(database),
            trail=PostgresTrail(database),
            entries=PostgresEntries(database),
            guarding=Guarding(database),
            partitions=Partitions(database),
            retention=Retention(database),
        )
    finally:
        await database.close()


def read_public_key(path: Path) -> bytes:
    """The public key in a PEM file. Raises `SetupError` when there is none."""
    try:
        found = public_key(path.read_bytes())
    except OSError as error:
        raise SetupError(f"public key {path} can't be read ({error.strerror}); check {PREFIX}POLICY_KEY_FILE") from None
    if found is None:
        raise SetupError(f"{path} holds no Ed25519 public key in PEM; `cdc-masker policy keygen` makes a pair")
    return found
