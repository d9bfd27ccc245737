"""What a source connector's configuration lets out, or loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cdc_masker.doctor.connections import any_remote
from cdc_masker.doctor.findings import Finding, Severity
from cdc_masker.settings import PREFIX
from cdc_masker.snapshots import Lack

__all__ = ["of_connector", "of_lacks"]

_ENCRYPTED = ("require", "verify-ca", "verify-full")


class _Option(NamedTuple):
    name: str
    default: str
    harmless: tuple[str, ...]
    severity: Severity
    problem: str
    remedy: str


_OPTIONS = (
    _Option(
        "errors.log.include.messages",
        "false",
        ("false",),
        Severity.ERROR,
        "Kafka Connect writes whole records to its log",
        "set it to false, and delete the log",
    ),
    _Option(
        "errors.tolerance",
        "none",
        ("none",),
        Severity.ERROR,
        "records that Connect can't handle are skipped, and nobody notices",
        "set it to none",
    ),
    _Option(
        "errors.deadletterqueue.topic.name",
        "",
        ("",),
        Severity.ERROR,
        "records that Connect can't handle are kept raw in a topic of their own",
        "leave it out, and delete the topic",
    ),
    _Option(
        "event.processing.failure.handling.mode",
        "fail",
        ("fail",),
        Severity.ERROR,
        "changes that Debezium can't handle are skipped",
        "set it to fail",
    ),
    _Option(
        "slot.drop.on.stop",
        "false",
        ("false",),
        Severity.ERROR,
        "what changes while the connector is stopped is lost",
        "set it to false",
    ),
    _Option(
        "publication.autocreate.mode",
        "all_tables",
        ("filtered", "disabled", "no_tables"),
        Severity.WARNING,
        "tables that nobody named are published, new ones included",
        "set it to filtered",
    ),
)


def of_lacks(lacks: Iterable[Lack]) -> Iterator[Finding]:
    """What keeps incremental snapshots from working: nobody needs them until raw records expired, and then at once."""
    for lack in lacks:
        yield Finding(Severity.WARNING, *lack)


def of_connector(options: Mapping[str, str] | None) -> Iterator[Finding]:
    """None: there is no such connector."""
    place = "connector"
    if options is None:
        yield Finding(
            Severity.WARNING,
            place,
            f"Kafka Connect has none of the name in {PREFIX}CONNECTOR_NAME",
            "correct the name, or run `cdc-masker connector apply`",
        )
        return
    for option in _OPTIONS:
        if options.get(option.name, option.default) not in option.harmless:
            yield Finding(option.severity, f"{place}: {option.name}", option.problem, option.remedy)
    if not options.get("database.password", "${}").startswith("${"):
        yield Finding(
            Severity.ERROR,
            f"{place}: database.password",
            "the password itself stands in the configuration, which Connect shows to everybody who asks it",
            "use a reference such as ${env:NAME}, and change the password",
        )
    if options.get("database.sslmode", "prefer") not in _ENCRYPTED and any_remote([options.get("database.hostname", "")]):
        yield Finding(
            Severity.WARNING,
            f"{place}: database.sslmode",
            "raw rows may come over a connection without encryption",
            "set it to verify-full",
        )
