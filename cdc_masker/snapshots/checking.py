"""What is missing around the channels, in the source database and in Kafka. Each question is about facts that others read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdc_masker.snapshots.channels import Channels, Lack
from cdc_masker.source import SignalTable

__all__ = ["of_signal_table", "of_signal_topic", "of_tables"]


def of_signal_table(channels: Channels, publication: str, found: SignalTable | None) -> Iterator[Lack]:
    """The signal table; None: there is none. What this login may do there is another question."""
    name = channels.table
    place = f"source: signal table {name}"
    if found is None:
        yield Lack(
            place,
            "it is not there, so nothing can be asked for",
            f"CREATE TABLE {name} (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048)), "
            "and run `cdc-masker connector apply`",
        )
        return
    if not found.fit:
        yield Lack(place, "Debezium wants three columns of texts: id, type and data", "make it anew")
    if not found.published:
        yield Lack(
            place,
            f"it is not in the publication {publication}, so Debezium does not see what is asked for",
            f"ALTER PUBLICATION {publication} ADD TABLE {found.quoted}",
        )
    if found.insertable_by is False and not channels.read_only:
        yield Lack(
            place,
            f"the role {channels.user} that Debezium connects as may not write its watermarks there",
            f"GRANT INSERT ON {found.quoted} TO it, and USAGE on the schema",
        )


def of_signal_topic(name: str, partitions: int) -> Iterator[Lack]:
    """A signal topic that is there."""
    if partitions != 1:
        yield Lack(f"topic {name}", "Debezium reads signals from its first partition only", "make it anew with one partition")


def of_tables(wanted: Sequence[str], keyed: Mapping[str, bool]) -> Iterator[Lack]:
    """The tables that are to be read again; `keyed`: those that are there, and whether they have a primary key."""
    for name in wanted:
        if name not in keyed:
            yield Lack(f"source: table {name}", "it is not there", "correct the name: schema.table, without quotes")
        elif not keyed[name]:
            yield Lack(
                f"source: table {name}", "without a primary key it can't be read in chunks", "give it one, or leave it out"
            )
