"""The one way in which a worker ends when something is wrong that it does not understand.

Faust acknowledges or restarts what raised, which would lose records. So nothing of ours raises into Faust: the process ends at
once, and whatever supervises it starts another, which goes on at the committed offset. The log gets the kind of the error and
the place in the code, never the text of somebody else's exception, which may quote a record.
"""

from __future__ import annotations

import logging
import os
import traceback
from typing import NoReturn

from cdc_masker.errors import CdcMaskerError

__all__ = ["EXIT_FAILED", "fail_stop"]

EXIT_FAILED = 3

logger = logging.getLogger(__name__)


def fail_stop(doing: str, error: BaseException) -> NoReturn:
    """Ends the process with `EXIT_FAILED`. `doing` names what was being done and where, such as a partition."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    told = str(error) if isinstance(error, CdcMaskerError) else type(error).__name__ + place
    logger.critical("%s: %s; the process ends, and the next one goes on at the committed offsets", doing, told)
    logging.shutdown()
    os._exit(EXIT_FAILED)
