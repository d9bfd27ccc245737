"""`cdc-masker audit verify`: whether the audit is true, and complete."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cdc_masker import keys as key_sources
from cdc_masker.cli.audit.reporting import Drawn, show, telling
from cdc_masker.errors import SetupError
from cdc_masker.settings import Settings, load

__all__ = ["Export", "Keys", "public_keys", "verify"]

Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", metavar="FILE", help="Public key of whoever signs checkpoints; may be repeated."),
]
Export = Annotated[
    Path | None, typer.Option("--export", metavar="DIR", help="Where `audit retire` put the entries that it took.")
]


def verify(
    topic: Annotated[str | None, typer.Option(help="Only copies of this raw topic.")] = None,
    generation: Annotated[int | None, typer.Option(min=1, help="Only copies of this generation.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Look at records only of batches masked since then, in UTC; at all entries anyway.")
    ] = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="PATH",
            help="Signed notes, or a directory of them, that were kept elsewhere; may be repeated.",
        ),
    ] = None,
    keys: Keys = None,
    export: Export = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Mask raw records anew, with the keys of this environment, and compare.")
    ] = False,
    sample: Annotated[float, typer.Option(min=0, max=1, help="Which share of them.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Draws that share; none: a new one, which is told.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for rows that are on their way.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Verify rows, audit topic, committed offsets, raw and masked records against each other; name each place that is wrong.

    Exit code 0: all of it fits; 1: something doesn't; 2: it could not be looked at, so nothing is proven.
    """
    settings = load()
    drawn = secrets.randbits(32) if seed is None else seed
    keyring = key_sources.source(settings).load() if recompute else None
    from cdc_masker.audit.anew import Anew, Masking  # not on top: the libraries for servers take long to load
    from cdc_masker.audit.archive import Archive
    from cdc_masker.audit.checkpoints import kept
    from cdc_masker.audit.findings import Report
    from cdc_masker.audit.running import verify_all
    from cdc_masker.audit.snapshot import Selection

    report = Report()
    told = list(kept(checkpoints or [], public_keys(settings, keys) if checkpoints else []))
    masking = None if keyring is None else Masking(keyring, sample, drawn)
    archive = None if export is None else Archive(export, report)
    began = 0 if since is None else int(since.replace(tzinfo=UTC).timestamp() * 1000)
    with telling() as tell:
        asyncio.run(
            verify_all(
                settings,
                Selection(() if topic is None else (topic,), generation, began),
                report,
                checkpoints=told,
                archive=archive,
                masking=None if masking is None else lambda catalog: Anew(settings, catalog, masking),
                within=wait,
                tell=tell,
            )
        )
    show(report, None if masking is None else Drawn(masking.share, masking.seed), as_json=as_json)


def public_keys(settings: Settings, paths: list[Path] | None) -> list[bytes]:
    """The public keys in these files. Raises `SetupError` when there is none."""
    from cdc_masker.catalog import read_public_key  # as above

    if not paths:
        raise SetupError("checkpoints are signed: name the public key of whoever signs them with --key")
    return [read_public_key(path) for path in paths]
