"""The core in memory: microseconds for one event, against what one would write by hand.

The peer decodes an event with orjson, replaces five columns in place and encodes it again: no policy, no allow-list, no key,
no header, no check of what it reads; numbers change their text. The ratio tells what those cost. Rounds of both are
interleaved, so that whatever else the machine does hits them alike; the median of the rounds counts. The last figure is the
share of the time that the egress guard takes.
"""

from __future__ import annotations

import hmac
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from cdc_masker.codecs.capture import decode_line
from cdc_masker.events import Record
from cdc_masker.guard import EgressGuard
from cdc_masker.keys import new_keyring
from cdc_masker.pipeline import Masker
from cdc_masker.policies import Policy

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_ROUNDS = 9
_REPEATS = 60

_STATE = hmac.new(bytes(32), digestmod="sha256")


def _token(text: str) -> str:
    state = _STATE.copy()
    state.update(text.encode())
    return state.hexdigest()[:32]


def _by_hand(record: Record) -> bytes:
    event = orjson.loads(record.value or b"{}")
    payload = event.get("payload", event)
    for image in (payload["before"], payload["after"]):
        if image is not None:
            for column in ("email", "ssn"):
                if image[column] is not None:
                    image[column] = _token(image[column])
            image["full_name"] = None
            image["notes"] = "[removed]"
            card = image["card_number"]
            if card is not None:
                image["card_number"] = card[:6] + "*" * (len(card) - 10) + card[-4:]
    return orjson.dumps(event)


def _seconds(work: Callable[[Record], object], records: list[Record]) -> float:
    started = time.perf_counter()
    for _ in range(_REPEATS):
        for record in records:
            work(record)
    return (time.perf_counter() - started) / (_REPEATS * len(records))


def main() -> None:
    """Prints one line for each capture."""
    policy = Policy.from_document((_EXAMPLES / "shop-policy.json").read_bytes())
    keys = new_keyring()
    masker = Masker(policy, keys)
    unguarded = Masker(policy, keys, guard=EgressGuard(every=1 << 62))
    print(f"{'events of customers':<24} {'bytes':>6} {'by hand µs':>11} {'cdc-masker µs':>14} {'ratio':>6} {'guard':>6}")
    for name in ("shop.jsonl", "shop-schemas.jsonl"):
        with (_EXAMPLES / name).open("rb") as lines:
            captured = [decode_line(line) for line in lines]
        records = [record for record in captured if record.topic == "shop.crm.customers" and record.value]
        workers = (_by_hand, masker.mask, unguarded.mask)
        rounds = [[_seconds(work, records) for work in workers] for _ in range(_ROUNDS)]
        hand, ours, bare = (statistics.median(column) * 1e6 for column in zip(*rounds, strict=True))
        size = sum(len(record.value or b"") for record in records) // len(records)
        guard = (ours - bare) / ours
        print(f"{name:<24} {size:>6} {hand:>11.1f} {ours:>14.1f} {ours / hand:>6.2f} {guard:>6.0%}")


if __name__ == "__main__":
    main()
