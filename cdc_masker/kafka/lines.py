"""Lines of the log: text for people, or one JSON object a line for programs, with the coordinates that a line is about.

What always holds: a line in JSON holds a message and coordinates, and never an exception or a traceback, whoever logged it.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

__all__ = ["Format", "JsonLines", "PartitionLog", "at", "begin", "config", "message_of", "say"]

Format = Literal["text", "json"]

_TEXT = "[%(asctime)s] [%(process)s] [%(levelname)s] %(message)s"
_COORDINATES = "coordinates"

logger = logging.getLogger("cdc_masker")


class JsonLines(logging.Formatter):
    """A line as JSON: time (UTC), level, logger, message and, where the line is about something, its coordinates."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
            **getattr(record, _COORDINATES, {}),
        }
        return json.dumps(line)  # in ASCII: nothing in it ends a line


def at(
    topic: str | None = None, partition: int | None = None, offset: int | None = None, *, code: str | None = None
) -> dict[str, Any]:
    """What a line is about, for `extra` of a call that logs: source coordinates, and a code where there is one."""
    known = {"topic": topic, "partition": partition, "offset": offset, "code": code}
    return {_COORDINATES: {name: value for name, value in known.items() if value is not None}}


class PartitionLog(logging.LoggerAdapter[logging.Logger]):
    """Logs what is about one source partition; each call may name an `offset` and a `code`."""

    def __init__(self, logger: logging.Logger, topic: str, partition: int) -> None:
        super().__init__(logger)
        self._topic = topic
        self._partition = partition

    def at(self, offset: int | None = None, *, code: str | None = None) -> dict[str, Any]:
        """As the function `at`."""
        return at(self._topic, self._partition, offset, code=code)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        about = self.at(kwargs.pop("offset", None), code=kwargs.pop("code", None))
        return msg, {**kwargs, "extra": about}


def config(format: Format) -> dict[str, Any] | None:  # noqa: A002  # as the setting is called
    """What Faust has to change in its own configuration of the log; None: nothing."""
    ours = {"()": JsonLines}
    return {"merge": True, "formatters": {"default": ours, "colored": ours}} if format == "json" else None


def begin(format: Format, level: int = logging.WARNING) -> None:  # noqa: A002
    """Logs to standard error, until somebody else configures the log."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], level=level, force=True)


def say(sentence: str) -> None:
    """Why the program ends, on standard error: as a line of the log where the log is in JSON, else by itself."""
    if any(isinstance(handler.formatter, JsonLines) for handler in logging.root.handlers):
        logger.critical("%s", sentence)
    else:
        print(f"cdc-masker: {sentence}", file=sys.__stderr__, flush=True)  # Faust redirects sys.stderr into its log


def message_of(record: logging.LogRecord) -> str:
    """What a line says."""
    try:
        return record.getMessage()
    except (KeyError, TypeError, ValueError):
        return "a message that does not fit its arguments"
