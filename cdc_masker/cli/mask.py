"""`cdc-masker mask`: the core as a filter, without any server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cdc_masker import plugins
from cdc_masker.cli.files import read_bytes, reading, writing
from cdc_masker.codecs.capture import CaptureError, decode_line, encode_outcome
from cdc_masker.errors import CdcMaskerError, SetupError
from cdc_masker.keys import FileKeys, new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy
from cdc_masker.settings import load

__all__ = ["mask"]


def mask(
    source: Annotated[Path, typer.Argument(metavar="[INPUT]", help="Capture lines; - is standard input.")] = Path("-"),
    policy: Annotated[Path | None, typer.Option(help="Policy document; without one everything is redacted.")] = None,
    keys: Annotated[Path | None, typer.Option(help="Key file; without one a key is made for this run.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where outcomes go; - is standard output.")] = Path("-"),
) -> None:
    """Mask a capture: one line out for each line in, in order.

    Input lines are Kafka records, as `cdc-masker capture` writes them; output lines are what became of each.
    """
    if str(output) != "-" and output.exists() and source.exists() and output.samefile(source):
        raise SetupError(f"{output} is the input, too; writing it would empty it before it is read: choose another name")
    known = plugins.methods(load())
    rules = EMPTY if policy is None else Policy.from_document(read_bytes(policy))
    if keys is None:
        print("cdc-masker: no --keys: tokens of this run are made with a key that ends with it", file=sys.stderr)
        masker = Masker(rules, new_keyring(rules.key_epoch), known=known)
    else:
        masker = Masker(rules, FileKeys(keys).load(), known=known)
    with reading(source) as lines, writing(output) as results:
        for number, line in enumerate(lines, start=1):
            try:
                outcome = masker.mask(decode_line(line))
            except CaptureError as error:
                raise CdcMaskerError(f"{source} line {number}: {error}") from None
            results.write(encode_outcome(outcome) + b"\n")
