"""What every benchmark on the real stack begins and ends with: it leaves nothing behind, however it ends."""

from __future__ import annotations

import logging
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bed import Bed
from benchmarks.checking import Wrong
from benchmarks.observing import Stuck
from benchmarks.telling import Teller
from cdc_masker.errors import CdcMaskerError

__all__ = ["attempt", "temporary_bed"]


def attempt(work: Callable[[Teller], None]) -> int:
    """Does the work and gives the exit code. SIGTERM stops it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each retry; what fails is raised
    tell = Teller()
    try:
        work(tell)
    except (CdcMaskerError, Stuck, Wrong) as error:
        tell.line(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        tell.line("stopped")
        return 130
    finally:
        tell.close()
    return 0


@contextmanager
def temporary_bed(tell: Teller) -> Iterator[Bed]:
    """A running stack in a directory that is deleted with it."""
    directory = Path(tempfile.mkdtemp(prefix="cdc-masker-bench."))
    try:
        with Bed(directory, tell.step) as bed:
            yield bed
    finally:
        shutil.rmtree(directory, ignore_errors=True)
