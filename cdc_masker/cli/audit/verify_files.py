"""`cdc-masker audit verify-files`: whether files that `cdc-masker replay file` wrote are what their audit says."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdc_masker import keys as key_sources
from cdc_masker import plugins
from cdc_masker.cli.audit.reporting import Drawn, show, telling
from cdc_masker.errors import SetupError
from cdc_masker.keys import FileKeys
from cdc_masker.settings import load

if TYPE_CHECKING:
    from cdc_masker.heads import Chain

__all__ = ["verify_files"]


def verify_files(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What `cdc-masker replay file` wrote.")],
    raw: Annotated[Path | None, typer.Option(metavar="CAPTURE", help="The capture: each record is in one entry.")] = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Mask the capture's records anew, too, and compare.")] = False,
    keys: Annotated[Path | None, typer.Option(help="Key file; without one the keys of this environment.")] = None,
    sample: Annotated[float, typer.Option(min=0, max=1, help="Which share of them.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Draws that share; none: a new one, which is told.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Verify masked records and audit entries in files against each other, and against the capture; name what is wrong.

    No server is needed. Exit code 0: all of it fits; 1: something doesn't; 2: it could not be looked at, so nothing is proven.
    """
    from cdc_masker.audit.findings import Report  # not on top: the libraries for servers take long to load
    from cdc_masker.captures.checking import check, read_manifest

    if recompute and raw is None:
        raise SetupError("--recompute masks the capture anew: name it with --raw")
    settings = load()
    manifest, policy = read_manifest(directory)
    drawn, masker = None, None
    if recompute:
        drawn = Drawn(sample, secrets.randbits(32) if seed is None else seed)
        keyring = (key_sources.source(settings) if keys is None else FileKeys(keys)).load()
        masker = manifest.making.masker(policy, keyring, plugins.methods(settings))
    report = Report()
    with telling() as tell:

        def tell_of(chain: Chain) -> None:
            summary = report.of(chain)
            tell(f"{chain.topic}[{chain.partition}]: {summary.records:,} records, {report.total:,} findings so far")

        share, number = drawn or (1.0, 0)
        check(directory, manifest, policy, report, raw=raw, masker=masker, share=share, seed=number, tell=tell_of)
    show(report, drawn, as_json=as_json)
