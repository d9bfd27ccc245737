"""The one way in which a worker ends when something is wrong that it does not understand.

Faust acknowledges or restarts what raised, which would lose records. So nothing of ours raises into Faust: the process ends at
once, and whatever supervises it starts another, which goes on at the committed offset. The log gets the kind of the error and
the place in the code, never the text of somebody else's exception, which may quote a record. `conceal` sees to the same for
whatever others log or leave uncaught, in the worker and in every command.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

from cdc_masker.errors import located
from cdc_masker.kafka.lines import message_of, say
from cdc_masker.kafka.rights import missing_right

__all__ = ["EXIT_FAILED", "conceal", "fail_stop"]

EXIT_FAILED = 3

logger = logging.getLogger(__name__)


def fail_stop(doing: str, error: BaseException, about: Mapping[str, Any] | None = None) -> NoReturn:
    """Ends the process with `EXIT_FAILED`. `doing` names what was being done and where, such as a partition; `about` holds the
    coordinates of that, as `lines.at` gives them.
    """
    message = "%s: %s; the process ends, and the next one goes on at the committed offsets"
    logger.critical(message, doing, missing_right(error) or located(error), extra=about)
    logging.shutdown()
    os._exit(EXIT_FAILED)


def conceal() -> None:
    """From now on, no exception is logged or printed with its text or a traceback: each is `located`."""
    make = logging.getLogRecordFactory()

    def concealed(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = make(*arguments, **more)
        if isinstance(record.msg, BaseException):
            record.msg = located(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(located(each) if isinstance(each, BaseException) else each for each in record.args)
        if record.exc_info and record.exc_info[1] is not None:
            first_line = message_of(record).partition("\n")[0]  # asyncio goes on with the repr of a task and its exception
            record.msg, record.args, record.exc_info = f"{first_line} ({located(record.exc_info[1])})", (), None
        return record

    def uncaught(_: object, error: BaseException | None, __: TracebackType | None = None) -> None:
        say("an error" if error is None else located(error))

    logging.setLogRecordFactory(concealed)
    logging.raiseExceptions = False  # a log call with wrong arguments would show them
    sys.excepthook = uncaught
    sys.unraisablehook = lambda told: uncaught(told.exc_type, told.exc_value)
    threading.excepthook = lambda told: uncaught(told.exc_type, told.exc_value)
