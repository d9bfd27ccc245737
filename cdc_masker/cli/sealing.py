"""`cdc-masker policy verify`, `sign` and `keygen`: whether the catalog is what was released. `cdc_masker.cli` puts them beside
the others.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdc_masker.keys.signing import new_signing_key, signed
from cdc_masker.policies import Policy
from cdc_masker.sealing import Signature, signed_message
from cdc_masker.settings import Settings, load

if TYPE_CHECKING:
    from cdc_masker.catalog.verifying import Anchor, Verification

__all__ = ["keygen", "sign", "verify"]


def verify(
    keys: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="Public key; each version must be signed with one. None: the setting's."),
    ] = None,
    topic: Annotated[bool, typer.Option("--topic", help="Compare with the audit topic in Kafka, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Verify the catalog: chain, digests and seals of all versions, signatures, and the seals that the audit tells of.

    Exit code 0: all of it fits; 1: something doesn't, and where; 2: it could not be read.
    """
    found = asyncio.run(_verify(load(), keys, topic))
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        for problem in found.problems:
            print(f"UNVERIFIED {problem}")
        print(f"{found.versions:,} versions verified, the newest with seal {found.seal or 'none'}")
        print(f"{found.signed:,} signed with a key that is trusted; {found.anchors:,} told of by the audit")
    if found.problems:
        raise typer.Exit(1)


def sign(
    key: Annotated[Path, typer.Option(metavar="FILE", help="Private key, as `cdc-masker policy keygen` writes it.")],
    version: Annotated[int | None, typer.Argument(min=1, help="None: the newest.")] = None,
) -> None:
    """Sign a version, and so all that it follows, once the catalog verifies. Look at it first, with `policy diff`."""
    policy = asyncio.run(_sign(load(), key, version))
    print(f"signed version {policy.version}, {policy.digest}, seal {policy.seal}")


def keygen(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The private key to make; the public one gets .pub behind it.")],
) -> None:
    """Make a pair of keys to sign policy versions with. Keep the private one where no migrator and no worker can reach it."""
    print(f"{path}: private key; {new_signing_key(path)}: public key, for CDC_MASKER_POLICY_KEY_FILE")


async def _verify(settings: Settings, keys: list[Path] | None, topic: bool) -> Verification:
    from cdc_masker.catalog import open_catalog, read_public_key  # not on top: the database libraries take long to load

    paths = keys or ([settings.policy_key_file] if settings.policy_key_file else [])
    trusted = [read_public_key(path) for path in paths]
    anchors = await _published(settings) if topic else []
    async with open_catalog(settings) as catalog:
        return await catalog.verifier.verify(trusted, anchors)


async def _published(settings: Settings) -> list[Anchor]:
    """What the entries in the audit topic tell, each once."""
    from cdc_masker.catalog.verifying import Anchor  # as above
    from cdc_masker.evidence import decode_entry
    from cdc_masker.kafka.capturing import capture

    place = f"topic {settings.audit_topic}"
    found = set()
    async for record in capture(settings, [settings.audit_topic]):
        entry = decode_entry(record.value or b"")
        found.add(Anchor(entry.policy_version, entry.policy_digest, entry.policy_seal, place))
    return sorted(found)


async def _sign(settings: Settings, key: Path, version: int | None) -> Policy:
    from cdc_masker.catalog import open_catalog  # as above

    async with open_catalog(settings) as catalog:
        policy = await (catalog.policies.newest() if version is None else catalog.policies.at(version))
        now = datetime.now(UTC)
        public, signature = signed(key, signed_message(policy.seal, now))
        await catalog.signatures.add(Signature(policy.version, public, now, signature), policy.seal)
    return policy
