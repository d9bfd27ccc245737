"""What goes over a network unencrypted; loopback is none."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from cdc_masker.doctor.findings import Finding, Severity
from cdc_masker.settings import PREFIX, Settings

__all__ = ["any_remote", "of_connections"]


def of_connections(settings: Settings) -> Iterator[Finding]:
    """The connections that the settings ask for."""
    brokers = [address.rpartition(":")[0] for address in settings.kafka_brokers.split(",")]
    if settings.kafka_security.endswith("PLAINTEXT") and any_remote(brokers):
        yield Finding(
            Severity.ERROR,
            f"{PREFIX}KAFKA_SECURITY",
            "raw records are read over a connection without encryption",
            "give the brokers a TLS listener, and set SSL or SASL_SSL",
        )
    if settings.connect_url.startswith("http://") and any_remote([urlsplit(settings.connect_url).hostname or ""]):
        yield Finding(
            Severity.WARNING,
            f"{PREFIX}CONNECT_URL",
            "Kafka Connect is reached without encryption",
            "give its REST interface TLS, and use https://",
        )
    if settings.database_url is not None and settings.database_ssl in ("disable", "prefer"):
        host = urlsplit(settings.database_url.get_secret_value()).hostname
        if any_remote([host or ""]):
            yield Finding(
                Severity.WARNING,
                f"{PREFIX}DATABASE_SSL",
                "the catalog may be reached without encryption",
                "set verify-full",
            )


def any_remote(hosts: Iterable[str]) -> bool:
    """Whether one of the hosts is another machine."""
    return any(not _is_loopback(host.strip("[]")) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")
