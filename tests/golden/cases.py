"""The golden files: what the example captures become under fixed keys.

`python -m tests.golden.cases` writes them anew; the difference is then a reviewer's to judge.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cdc_masker.codecs.capture import decode_line, encode_outcome
from cdc_masker.keys import Keyring
from cdc_masker.keys.keyring import RootKey
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Policy

__all__ = ["CASES", "EXAMPLES", "KEYS", "Case", "masked"]

_HERE = Path(__file__).resolve().parent
EXAMPLES = _HERE.parent.parent / "examples"
KEYS = Keyring.of([RootKey(id="golden", epoch=1, root=bytes(range(32)))])


class Case(NamedTuple):
    """A capture masked with or without the example policy."""

    name: str
    capture: Path
    with_policy: bool

    @property
    def golden(self) -> Path:
        return _HERE / f"{self.name}.jsonl"


CASES = [
    Case("shop", EXAMPLES / "shop.jsonl", with_policy=True),
    Case("shop-schemas", EXAMPLES / "shop-schemas.jsonl", with_policy=True),
    Case("shop-default", EXAMPLES / "shop.jsonl", with_policy=False),
]


def masked(case: Case) -> bytes:
    """The outcome lines of a case, with a key that is no secret."""
    policy = Policy.from_document((EXAMPLES / "shop-policy.json").read_bytes()) if case.with_policy else EMPTY
    masker = Masker(policy, KEYS)
    with case.capture.open("rb") as lines:
        return b"".join(encode_outcome(masker.mask(decode_line(line))) + b"\n" for line in lines)


if __name__ == "__main__":
    for each in CASES:
        each.golden.write_bytes(masked(each))
