"""`cdc-masker reveal`: from a masked value back to what it was, for those who may, and on record."""

from __future__ import annotations

import asyncio
import hmac
import sys
from collections.abc import Callable
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer

from cdc_masker import plugins
from cdc_masker.engine import Engine
from cdc_masker.errors import KeyringError, SetupError
from cdc_masker.keys import FileKeys, Keyring, RootKey
from cdc_masker.lookup import Table
from cdc_masker.policies import Policy
from cdc_masker.ports import ErasureStore
from cdc_masker.reveal import reveal as turned_back
from cdc_masker.schemas import Type, from_postgres
from cdc_masker.settings import Settings, load
from cdc_masker.subjects import SubjectCipher, per_subject

__all__ = ["reveal"]


class _Place(NamedTuple):
    """Where a masked value stood. `type` None: what the rule states."""

    table: Table
    column: str
    path: str | None
    type: Type | None

    def __str__(self) -> str:
        return f"{self.table.schema}.{self.table.name}.{self.column}{self.path or ''}"


def reveal(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="schema.table, each in double quotes if SQL needs them.")],
    column: Annotated[str, typer.Argument(metavar="COLUMN", help="The column's exact name.")],
    masked: Annotated[
        str,
        typer.Argument(metavar="[VALUE]", help="The masked value (after -- if it begins with -); - reads values, one a line."),
    ] = "-",
    *,
    keys: Annotated[Path, typer.Option("--keys", metavar="FILE", help="Key file with the root key, as no worker has it.")],
    reason: Annotated[str, typer.Option(help="Why; it goes into the receipt.")],
    path: Annotated[str | None, typer.Option(help="The part of the column that the rule is about.")] = None,
    server: Annotated[str, typer.Option(help="Debezium's name of the source, where rules need it.")] = "",
    version: Annotated[int | None, typer.Option(help="Policy version of the record; none: the one in force.")] = None,
    stated: Annotated[str | None, typer.Option("--type", help="The column's PostgreSQL type, where no rule states it.")] = None,
    subject: Annotated[
        bool, typer.Option("--subject", help="Ask for the subject: it was masked under that one's key.")
    ] = False,
) -> None:
    """Print what was encrypted, or which integer a token stands for, once a receipt is written; never without one."""
    from cdc_masker.catalog.changes import parse_table  # not on top: the database libraries take long to load

    settings = load()
    ring = FileKeys(keys).load()
    place = _Place(Table(server, *parse_table(table), ""), column, path, _type(stated))
    whom = getpass("Subject: ") if subject else None
    values = _read() if masked == "-" else [masked]
    for value in asyncio.run(_reveal(settings, ring, version, place, values, whom, reason)):
        print(value if isinstance(value, str) else orjson.dumps(value).decode())


async def _reveal(
    settings: Settings, ring: Keyring, version: int | None, place: _Place, values: list[str], whom: str | None, reason: str
) -> list[Any]:
    """What the values stood for, after a receipt was written."""
    from cdc_masker.catalog import open_catalog  # as above

    async with open_catalog(settings) as catalog:
        policy = await (catalog.policies.current() if version is None else catalog.policies.at(version))
        epoch = policy.key_epoch
        if not any(isinstance(key, RootKey) and key.epoch == epoch for key in ring.keys):
            raise KeyringError(f"the key file has no root key of epoch {epoch}; a worker's keys are no way back")
        engine = Engine(policy, ring, plugins.methods(settings))
        keys = None if whom is None else await _subject_keys(catalog.erasures, ring, policy, whom)
        found = [
            turned_back(engine, ring, place.table, place.column, value, path=place.path, type_=place.type, subject_key=keys)
            for value in values
        ]
        # Keyed, since somebody may have typed what was never masked.
        naming = ring.derive("reveal.receipt", "", epoch)
        hashes = [hmac.digest(naming, value.encode(), "sha256").hex()[:32] for value in values]
        await catalog.receipts.write("reveal", str(place), reason, {"policy_version": policy.version, "values": hashes})
    return found


async def _subject_keys(store: ErasureStore, ring: Keyring, policy: Policy, whom: str) -> Callable[[str], bytes]:
    """Gives the subject's own key in a domain."""
    found: dict[str, bytes] = {}
    for domain in per_subject(policy):
        cipher = SubjectCipher(ring, domain, policy.key_epoch)
        held = await store.find(cipher.name(whom), policy.key_epoch)
        if held is not None:
            found[domain] = cipher.unwrap(held.wrapped, held.name)

    def key(domain: str) -> bytes:
        if domain not in found:
            raise KeyringError(
                f"this subject has no key in domain {domain}: it was erased, or it is written otherwise in the events"
            )
        return found[domain]

    return key


def _type(name: str | None) -> Type | None:
    if name is None:
        return None
    found = from_postgres(name)
    if found is None:
        raise SetupError(f"--type {name} is no PostgreSQL type that is known")
    return found


def _read() -> list[str]:
    found = [line for line in sys.stdin.read().splitlines() if line]
    if not found:
        raise SetupError("no masked value was given; write one on each line")
    return found
