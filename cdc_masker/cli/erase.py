"""`cdc-masker keys erase`: destroys the keys of subjects."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from getpass import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from cdc_masker.cli.progress import progress
from cdc_masker.errors import SetupError
from cdc_masker.keys import source
from cdc_masker.methods import Keys
from cdc_masker.ports import ErasureStore
from cdc_masker.settings import Settings, load
from cdc_masker.subjects import Log, SubjectCipher, SubjectName, per_subject

if TYPE_CHECKING:
    from cdc_masker.catalog import Catalog

__all__ = ["erase"]


def erase(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="[SUBJECT]",
            help="The text that names the subject in events; - reads it from the standard input, one a line, since other "
            "users of this machine may see arguments.",
        ),
    ] = "-",
    domains: Annotated[
        list[str] | None, typer.Option("--domain", help="Only in this domain; may be repeated. None: in all of them.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the receipt, so name a ticket and not a person.")] = "erasure",
    within: Annotated[float, typer.Option("--timeout", help="Seconds to wait for workers.")] = 600.0,
) -> None:
    """Destroy a subject's keys: what was masked under them can never again be told, undone or repeated.

    Done when every worker has dropped the keys. It can be run again when it was cut off. Exit code 1: somebody was not found.
    """
    settings = load()
    keys = source(settings).load()
    subjects = _read() if subject == "-" else [subject]
    with progress() as tell:
        missing = asyncio.run(_erase(settings, keys, subjects, domains or [], reason, within, tell))
    if missing:
        raise typer.Exit(1)


def _read() -> list[str]:
    """Subjects, one a line; from a terminal one that is not shown."""
    lines = [getpass("Subject: ")] if sys.stdin.isatty() else sys.stdin.read().splitlines()
    found = [line for line in lines if line]
    if not found:
        raise SetupError("no subject was given; write one on each line")
    return found


async def _erase(
    settings: Settings,
    keys: Keys,
    subjects: list[str],
    only: list[str],
    reason: str,
    within: float,
    tell: Callable[[str], None],
) -> int:
    """Erases, and gives the number of subjects that nothing was found of."""
    from cdc_masker.catalog import open_catalog  # not on top: the libraries for servers take long to load
    from cdc_masker.kafka import erasing
    from cdc_masker.kafka.cluster import Cluster

    async with open_catalog(settings) as catalog:
        ciphers = await _ciphers(catalog, keys, only)
        names, missing = await _names(catalog.erasures, ciphers, subjects)
        if names:
            cluster = Cluster(settings)
            await cluster.start()

            async def ends() -> Mapping[Log, int]:
                sources = {topic for topic in await cluster.topics() if settings.is_source(topic)}
                return await cluster.ends(sources.union(await catalog.erasures.topics()))

            try:
                numbers = await erasing.erase(catalog.erasures, names, reason, ends=ends, within=within, tell=tell)
            finally:
                await cluster.close()
            print(f"erasure {', '.join(map(str, numbers))} is complete; `cdc-masker audit receipts` shows the receipts")
    return missing


async def _ciphers(catalog: Catalog, keys: Keys, only: list[str]) -> list[SubjectCipher]:
    """One for each domain. Raises `SetupError` when there is none, and `KeyringError` when the keys are not the catalog's."""
    policy = await catalog.policies.current()
    domains = {*per_subject(policy), *await catalog.erasures.domains()}
    for domain in only:
        if domain not in domains:
            raise SetupError(f"domain {domain} is not per subject; those that are: {', '.join(sorted(domains)) or 'none'}")
    found = [SubjectCipher(keys, domain, policy.key_epoch) for domain in sorted(only or domains)]
    if not found:
        raise SetupError("no domain is per subject, so no subject has keys; declare one with op.declare_domain")
    for domain in only or domains:
        held = await catalog.erasures.sample(domain)
        if held is not None:  # else subjects would be looked for under names that nobody has
            SubjectCipher(keys, domain, held.epoch).unwrap(held.wrapped, held.name)
    return found


async def _names(store: ErasureStore, ciphers: Sequence[SubjectCipher], subjects: list[str]) -> tuple[list[SubjectName], int]:
    """The names of all that can be erased, and the number of subjects that are not known. Tells which, by their place."""
    names: list[SubjectName] = []
    missing = 0
    for number, subject in enumerate(subjects, 1):
        place = f"subject {number} of {len(subjects)}"
        theirs = [cipher.name(subject) for cipher in ciphers]
        if await store.has_keys(theirs):
            names += theirs
        elif await store.was_erased(theirs):
            print(f"{place} was erased before, and has no new key")
        else:
            missing += 1
            print(f"{place} has no key; check that it is written as in the events", file=sys.stderr)
    return names, missing
