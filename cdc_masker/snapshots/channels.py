"""How a connector can be asked for an incremental snapshot, and where it tells about it: what its configuration says.

Names are Debezium's: a signal asks, in a row of the signal table or in a record of the signal topic; a notification tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from cdc_masker.settings import PREFIX

__all__ = ["Channels", "Lack"]

_APPLY = "and run `cdc-masker connector apply`"


class Lack(NamedTuple):
    """What keeps incremental snapshots from being asked for or from being seen, where, and what to do about it."""

    place: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Channels:
    """`table`, `topic` and `notifications` are None where the connector has no such channel.

    `user`: the role that it connects as, None where that is a reference. `read_only`: it writes no watermarks into the table.
    """

    server: str
    user: str | None
    table: str | None
    topic: str | None
    notifications: str | None
    read_only: bool
    heartbeats: bool
    included: str
    excluded: str

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Self:
        """Those of a configuration, with Debezium's defaults."""
        asked = _listed(options.get("signal.enabled.channels", "source"))
        told = _listed(options.get("notification.enabled.channels", ""))
        server, user = options.get("topic.prefix", ""), options.get("database.user", "")
        return cls(
            server=server,
            user=None if not user or user.startswith("${") else user,
            table=options.get("signal.data.collection") or None if "source" in asked else None,
            topic=options.get("signal.kafka.topic", f"{server}-signal") if "kafka" in asked else None,
            notifications=options.get("notification.sink.topic.name") if "sink" in told else None,
            read_only=options.get("read.only") == "true",
            heartbeats=options.get("heartbeat.interval.ms", "0") != "0",
            included=options.get("table.include.list", ""),
            excluded=options.get("table.exclude.list", ""),
        )

    def __bool__(self) -> bool:
        """Whether anything can be asked for."""
        return self.table is not None or self.topic is not None

    def captures(self, table: str) -> bool:
        """Whether the lists of tables let this one through; they hold regular expressions for whole names in any case."""
        return (not self.included or _matches(self.included, table)) and not _matches(self.excluded, table)

    def lacks(self) -> Iterator[Lack]:
        """What is missing from a configuration that has a channel for signals; none of it is missing where there is none."""
        if self and self.notifications is None:
            yield Lack(
                "connector: notification.enabled.channels",
                "nobody is told how far an incremental snapshot is, and how it ends",
                f"set {PREFIX}NOTIFICATION_TOPIC, {_APPLY}",
            )
        if self.topic is not None and self.table is None and not self.read_only:
            yield Lack(
                "connector: read.only",
                "Debezium needs a signal table for the watermarks of an incremental snapshot, and there is none",
                f"set {PREFIX}SIGNAL_TABLE, or read.only to true, {_APPLY}",
            )
        if self and self.read_only and not self.heartbeats:
            yield Lack(
                "connector: heartbeat.interval.ms",
                "a read-only incremental snapshot waits for ever while nothing changes",
                "set it to 10000, say",
            )


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _matches(expressions: str, table: str) -> bool:
    """Whether one of them matches. One that is no regular expression for Python counts as if it did: Debezium decides."""
    for expression in _listed(expressions):
        try:
            if re.fullmatch(expression, table, re.IGNORECASE):
                return True
        except re.error:
            return True
    return False
