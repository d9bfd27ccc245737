"""The cores in memory: microseconds for one event, against what one would write by hand.

The peer decodes an event with orjson, replaces five columns in place and encodes it again: no policy, no allow-list, no key,
no header, no check of what it reads; numbers change their text. The ratio tells what those cost. Rounds of all are
interleaved, so that whatever else the machine does hits them alike; the median of the rounds counts. Key, headers and the leaf
for the audit are included; the last figure is the share of the time that the egress guard takes.
"""

from __future__ import annotations

import hmac
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from cdc_masker.codecs.capture import decode_line
from cdc_masker.cores import is_compiled
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


def _each(records: list[Record]) -> None:
    for record in records:
        _by_hand(record)


def _seconds(work: Callable[[list[Record]], object], records: list[Record]) -> float:
    """For one event."""
    started = time.perf_counter()
    for _ in range(_REPEATS):
        work(records)
    return (time.perf_counter() - started) / (_REPEATS * len(records))


def main() -> None:
    """Prints one line for each capture and core."""
    policy = Policy.from_document((_EXAMPLES / "shop-policy.json").read_bytes())
    keys, seldom = new_keyring(), EgressGuard(every=1 << 62)
    cores = ["python", *(["native"] if is_compiled("auto") else [])]
    guarded: list[Callable[[list[Record]], object]] = [
        Masker(policy, keys, native=core == "native").mask_batch for core in cores
    ]
    bare = [Masker(policy, keys, native=core == "native", guard=seldom).mask_batch for core in cores]
    named = f"{'core':>7} {'µs':>6} {'events/s':>9} {'ratio':>6} {'guard':>6}"
    print(f"{'events of customers':<20} {'bytes':>6} {'by hand µs':>11} {named}")
    for name in ("shop.jsonl", "shop-schemas.jsonl"):
        with (_EXAMPLES / name).open("rb") as lines:
            captured = [decode_line(line) for line in lines]
        records = [record for record in captured if record.topic == "shop.crm.customers" and record.value]
        size = sum(len(record.value or b"") for record in records) // len(records)
        rounds = [[_seconds(work, records) for work in (_each, *guarded, *bare)] for _ in range(_ROUNDS)]
        hand, *ours = (statistics.median(column) * 1e6 for column in zip(*rounds, strict=True))
        for core, cost, without in zip(cores, ours[: len(cores)], ours[len(cores) :], strict=True):
            told = f"{core:>7} {cost:>6.1f} {1e6 / cost:>9,.0f} {cost / hand:>6.2f} {1 - without / cost:>6.0%}"
            print(f"{name:<20} {size:>6} {hand:>11.1f} {told}")


if __name__ == "__main__":
    main()
