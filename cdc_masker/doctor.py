"""What lies outside of cdc-masker and can leak all the same: raw values in the source's own log, topics and connections.

Each question is asked of settings that are read, and answered by a pure function; `examine` reads them. A finding names a
setting and never a value that may be secret.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from cdc_masker.connect import Connector
from cdc_masker.kafka.cluster import Cluster
from cdc_masker.settings import PREFIX, Settings

__all__ = ["Finding", "Severity", "examine", "of_brokers", "of_connections", "of_connector"]

_PATIENCE_SECONDS = 30.0


class Severity(StrEnum):
    """An error lets raw values out, or records get lost; a warning may, depending on who can reach what."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong where, and what to do about it."""

    severity: Severity
    place: str
    problem: str
    remedy: str


async def examine(settings: Settings) -> list[Finding]:
    """Asks Kafka Connect and the brokers. Raises `SetupError` or `TransientError` when one can't be asked."""
    connector = await asyncio.to_thread(Connector(settings).configuration, time.monotonic() + _PATIENCE_SECONDS)
    cluster = Cluster(settings)
    await cluster.start()
    try:
        brokers = await cluster.broker_settings()
    finally:
        await cluster.close()
    return [*of_connector(connector), *of_brokers(brokers), *of_connections(settings)]


def of_connector(options: Mapping[str, str] | None) -> Iterator[Finding]:
    """What a connector's configuration lets out; None: there is no such connector."""
    place = "connector"
    if options is None:
        yield Finding(
            Severity.WARNING,
            place,
            f"Kafka Connect has none of the name in {PREFIX}CONNECTOR_NAME",
            "correct the name, or run `cdc-masker connector apply`",
        )
        return
    if options.get("errors.log.include.messages", "false") != "false":
        yield Finding(
            Severity.ERROR,
            f"{place}: errors.log.include.messages",
            "Kafka Connect writes whole records to its log",
            "set it to false, and delete the log",
        )
    if options.get("errors.tolerance", "none") != "none":
        yield Finding(
            Severity.ERROR,
            f"{place}: errors.tolerance",
            "records that Connect can't handle are skipped, and nobody notices",
            "set it to none",
        )
    if options.get("errors.deadletterqueue.topic.name"):
        yield Finding(
            Severity.ERROR,
            f"{place}: errors.deadletterqueue.topic.name",
            "records that Connect can't handle are kept raw in a topic of their own",
            "leave it out, and delete the topic",
        )
    if not options.get("database.password", "${}").startswith("${"):
        yield Finding(
            Severity.ERROR,
            f"{place}: database.password",
            "the password itself stands in the configuration, which Connect shows to everybody who asks it",
            "use a reference such as ${env:NAME}, and change the password",
        )


def of_brokers(options: Mapping[str, str | None]) -> Iterator[Finding]:
    """Who may read raw topics, by a broker's settings."""
    if not options.get("authorizer.class.name"):
        yield Finding(
            Severity.WARNING,
            "brokers: authorizer.class.name",
            "there are no access lists, so whoever reaches the brokers may read the raw topics",
            "set an authorizer, and allow Read on the raw topics to cdc-masker's user only",
        )
    elif options.get("allow.everyone.if.no.acl.found") == "true":
        yield Finding(
            Severity.WARNING,
            "brokers: allow.everyone.if.no.acl.found",
            "everybody may read a raw topic that no access list names",
            "set it to false, and allow Read on the raw topics to cdc-masker's user only",
        )


def of_connections(settings: Settings) -> Iterator[Finding]:
    """What goes over a network unencrypted; loopback is none."""
    brokers = [address.rpartition(":")[0] for address in settings.kafka_brokers.split(",")]
    if settings.kafka_security.endswith("PLAINTEXT") and _any_remote(brokers):
        yield Finding(
            Severity.ERROR,
            f"{PREFIX}KAFKA_SECURITY",
            "raw records are read over a connection without encryption",
            "give the brokers a TLS listener, and set SSL or SASL_SSL",
        )
    if settings.connect_url.startswith("http://") and _any_remote([urlsplit(settings.connect_url).hostname or ""]):
        yield Finding(
            Severity.WARNING,
            f"{PREFIX}CONNECT_URL",
            "Kafka Connect is reached without encryption",
            "give its REST interface TLS, and use https://",
        )
    if settings.database_url is not None and settings.database_ssl in ("disable", "prefer"):
        host = urlsplit(settings.database_url.get_secret_value()).hostname
        if _any_remote([host or ""]):
            yield Finding(
                Severity.WARNING,
                f"{PREFIX}DATABASE_SSL",
                "the catalog may be reached without encryption",
                "set verify-full",
            )


def _any_remote(hosts: Iterable[str]) -> bool:
    return any(not _is_loopback(host.strip("[]")) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")
