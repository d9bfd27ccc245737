"""`cdc-masker keys`: key files, and bundles for workers. No command shows a key."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdc_masker import plugins
from cdc_masker.cli.files import read_bytes
from cdc_masker.errors import KeyringError
from cdc_masker.keys import (
    FileKeys,
    Keyring,
    Purpose,
    RootKey,
    bundle,
    change,
    destroyed,
    needed,
    new_keyring,
    rotated,
    source,
    write,
)
from cdc_masker.policies import Policy
from cdc_masker.settings import Settings, load
from cdc_masker.subjects import naming

if TYPE_CHECKING:
    from cdc_masker.catalog import Catalog

__all__ = ["app"]

app = typer.Typer(help="Make and keep keys.", no_args_is_help=True)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The key file.")]
_KEYS_HELP = "Key file; none: the keys that the settings name."


@app.callback()
def keys() -> None:
    """Make and keep keys."""


@app.command()
def new(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make; it must not be there yet.")],
) -> None:
    """Make a key file with a new random key, readable by its owner only. The key is never printed."""
    ring = new_keyring()
    write(ring, path)
    _tell(f"{path}: key {ring.keys[0].id}, epoch 1; keep a copy where losing this machine can't lose it")


@app.command("list")
def list_(
    path: Annotated[Path | None, typer.Argument(metavar="[FILE]", help=_KEYS_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List epochs, key ids, and what each is: a root, or keys that were derived from one."""
    found = [_facts(key) for key in _load(path).keys]
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for each in found:
        what = "root" if each["kind"] == "root" else f"{len(each['derived'])} derived keys"
        print(f"epoch {each['epoch']}: {each['id']}, {what}")


@app.command()
def rotate(path: _File) -> None:
    """Add a new random key of the next epoch. The others stay: what was masked with them still needs them."""
    newest = change(path, rotated).keys[-1]
    _tell(f"{path}: key {newest.id}, epoch {newest.epoch}; used once a policy revision says op.use_key_epoch({newest.epoch})")


@app.command()
def derive(
    target: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The file to make; it must not be there yet.")],
    path: Annotated[Path | None, typer.Option("--keys", help=_KEYS_HELP)] = None,
    documents: Annotated[
        list[Path] | None,
        typer.Option("--policy", help="Policy document, one or several; none: what is in force in the catalog."),
    ] = None,
) -> None:
    """Make a bundle for workers: the keys that the policy needs, derived, and no root.

    What is in force in the catalog is the newest version, and the newest for each generation that is live.
    """
    settings = load()
    known = plugins.methods(settings)
    given = [Policy.from_document(read_bytes(document)) for document in documents or ()]
    policies = given or asyncio.run(_in_force(settings))
    ring = bundle(_load(path), {purpose for policy in policies for purpose in needed(policy, known)})
    write(ring, target)
    count = sum(len([*key.secrets()]) for key in ring.keys)
    _tell(f"{target}: {count} derived keys of {_epochs(ring)}; a worker takes it as its CDC_MASKER_KEYS_FILE")


@app.command()
def destroy(
    path: _File,
    epoch: Annotated[int, typer.Argument(metavar="EPOCH", help="The epoch whose key is to go.")],
    reason: Annotated[str, typer.Option(help="Why; it goes into the receipt.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Destroy the key of an epoch: what was masked with it can be neither undone nor repeated. Copies have to go, too.

    It refuses the newest epoch, and with a catalog one that the policy in force or a live generation uses; then it writes a
    receipt. What the policy in force still needs of the epoch (names of subjects) stays as derived keys.
    """
    settings = load()
    ring = FileKeys(path).load()
    still_needed = asyncio.run(_unused(settings, epoch)) if settings.database_url else frozenset()
    destroyed(ring, epoch, still_needed)  # refuses before anybody is asked
    name = ring.ids()[epoch]
    if not settings.database_url:
        _tell("no catalog is set: nothing tells whether this key is still in use, and there will be no receipt")
    if not yes and typer.prompt(f"Type {name} to destroy this key for ever", err=True) != name:
        raise KeyringError(f"that is not {name}; nothing was done")
    if settings.database_url:
        number = asyncio.run(_write_receipt(settings, name, epoch, reason))
        _tell(f"receipt {number}")
    change(path, lambda ring: destroyed(ring, epoch, still_needed))
    _tell(f"{path}: key {name}, epoch {epoch} is gone; delete it from copies, backups and bundles, too")


def _load(path: Path | None) -> Keyring:
    return (source(load()) if path is None else FileKeys(path)).load()


def _facts(key: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"epoch": key.epoch, "id": key.id, "kind": key.kind}
    if not isinstance(key, RootKey):
        facts["derived"] = [{"method": method, "domain": domain} for method, domain in sorted(key.secret)]
    return facts


def _epochs(ring: Keyring) -> str:
    return ", ".join(f"epoch {epoch}" for epoch in ring.ids())


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


# The catalog's room is not imported on top: the database libraries take long to load.


async def _in_force(settings: Settings) -> list[Policy]:
    """The newest version, and the newest for each live generation."""
    from cdc_masker.catalog import open_catalog

    async with open_catalog(settings) as catalog:
        return await _versions(catalog)


async def _versions(catalog: Catalog) -> list[Policy]:
    newest = await catalog.policies.current()
    epochs = {each.key_epoch for each in await catalog.generations.live()} - {newest.key_epoch}
    return [newest, *[await catalog.policies.current(epoch) for epoch in sorted(epochs)]]


async def _unused(settings: Settings, epoch: int) -> frozenset[Purpose]:
    """What is needed of an epoch that nothing is masked under any more: by the policies in force, and to find the subjects of
    whom the catalog knows, be their domain declared or not. Raises `KeyringError` when the epoch is in use.
    """
    from cdc_masker.catalog import open_catalog

    async with open_catalog(settings) as catalog:
        policy, *others = await _versions(catalog)
        using = [each for each in await catalog.generations.live() if each.key_epoch == epoch]
        domains = await catalog.erasures.domains()
    if policy.key_epoch == epoch:
        raise KeyringError(
            f"policy version {policy.version}, which is in force, uses keys of epoch {epoch}; release one that doesn't"
        )
    if using:
        raise KeyringError(
            f"generation {using[0].number} of topic {using[0].topic} is live and uses keys of epoch {epoch}; retire it first"
        )
    known = plugins.methods(settings)
    wanted = {purpose for each in (policy, *others) for purpose in needed(each, known)}
    for method, domain, first in map(naming, domains):
        wanted.add(Purpose(first, method, domain))
    return frozenset(purpose for purpose in wanted if purpose.epoch == epoch)


async def _write_receipt(settings: Settings, name: str, epoch: int, reason: str) -> int:
    from cdc_masker.catalog import open_catalog

    async with open_catalog(settings) as catalog:
        return await catalog.receipts.write("destroy", name, reason, {"epoch": epoch})
