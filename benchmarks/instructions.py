"""How many instructions of the processor one event takes in the core: a figure that a busy machine does not change.

Each case runs twice under Valgrind, with few events and with more; the difference is what these more took. Takes some minutes.
Without Valgrind nothing is measured.

Run: python -m benchmarks.instructions
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from benchmarks.events import FIRST_MS, event
from benchmarks.peers.masking import masked
from benchmarks.policy import CUSTOMERS, masker
from benchmarks.telling import Teller
from cdc_masker.events import Record

__all__ = ["CASES"]

_FEW, _MORE = 200, 1200
_COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


def _by_core(records: list[Record]) -> None:
    masker(CUSTOMERS).mask_batch(records)


def _unguarded(records: list[Record]) -> None:
    masker(CUSTOMERS, guard_every=1 << 62).mask_batch(records)


def _by_hand(records: list[Record]) -> None:
    for record in records:
        masked(record.value or b"")


_MAKING = "only making the events"
CASES: dict[str, Callable[[list[Record]], None]] = {
    _MAKING: lambda records: None,
    "cdc-masker": _by_core,
    "cdc-masker, without guard": _unguarded,
    "five columns by hand": _by_hand,
}


def _run(case: str, count: int) -> None:
    CASES[case]([Record("shop.crm.customers", 0, number, FIRST_MS + number, *event(number)) for number in range(count)])


def _instructions(valgrind: str, case: str, count: int) -> int:
    """Of the whole process."""
    tool = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*tool, sys.executable, "-m", "benchmarks.instructions", case, str(count)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = _COUNTED.search(done.stderr)
    assert found is not None, "Valgrind told no count"
    return int(found[1].replace(",", ""))


def main() -> None:
    """Prints one line for each case, without what making its events took."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("instructions: Valgrind is not installed, so none are counted")
        return
    tell = Teller()
    counts = {}
    for case in CASES:
        tell.step(f"counting instructions: {case}")
        counts[case] = (_instructions(valgrind, case, _MORE) - _instructions(valgrind, case, _FEW)) // (_MORE - _FEW)
    tell.close()
    making = counts.pop(_MAKING)
    print(f"{'events of customers':<28} {'instructions':>12}")
    for case, count in counts.items():
        print(f"{case:<28} {count - making:>12,}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run(sys.argv[1], int(sys.argv[2]))
    else:
        main()
