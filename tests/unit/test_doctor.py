"""What the doctor finds in settings, and what it lets be."""

from __future__ import annotations

import pytest

from cdc_masker.connect import render
from cdc_masker.doctor import Severity, of_brokers, of_connections, of_connector
from cdc_masker.settings import load

HARMLESS = render(load())


def test_our_own_connector_configuration_is_harmless() -> None:
    assert list(of_connector(HARMLESS)) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("errors.log.include.messages", "true"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "dead"),
        ("database.password", "canary"),
    ],
)
def test_an_option_that_lets_raw_values_out_is_an_error(option: str, value: str) -> None:
    (finding,) = of_connector({**HARMLESS, option: value})
    assert (finding.severity, finding.place) == (Severity.ERROR, f"connector: {option}")
    assert "canary" not in str(finding)


def test_a_connector_that_is_not_there_is_told() -> None:
    (finding,) = of_connector(None)
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({}, "authorizer"),
        ({"authorizer.class.name": ""}, "authorizer"),
        ({"authorizer.class.name": "A", "allow.everyone.if.no.acl.found": "true"}, "allow.everyone"),
    ],
)
def test_raw_topics_that_everybody_may_read_are_told(options: dict[str, str], place: str) -> None:
    (finding,) = of_brokers(options)
    assert place in finding.place


def test_access_lists_without_holes_are_no_finding() -> None:
    assert list(of_brokers({"authorizer.class.name": "A", "allow.everyone.if.no.acl.found": "false"})) == []


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({"kafka_brokers": "localhost:9092,127.0.0.1:9093,[::1]:9094"}, []),
        ({"kafka_brokers": "localhost:9092,kafka.example.com:9092"}, ["CDC_MASKER_KAFKA_SECURITY"]),
        ({"kafka_brokers": "kafka.example.com:9092", "kafka_security": "SSL"}, []),
        ({"connect_url": "http://connect.example.com:8083"}, ["CDC_MASKER_CONNECT_URL"]),
        ({"connect_url": "https://connect.example.com"}, []),
        ({"database_url": "postgresql://u:canary@db.example.com/catalog"}, ["CDC_MASKER_DATABASE_SSL"]),
        ({"database_url": "postgresql://u:p@db.example.com/catalog", "database_ssl": "verify-full"}, []),
        ({"database_url": "postgresql://u:p@127.0.0.1/catalog"}, []),
    ],
)
def test_connections_without_encryption_are_told_unless_they_stay_on_the_machine(
    settings: dict[str, str], places: list[str]
) -> None:
    found = list(of_connections(load(**settings)))
    assert [finding.place for finding in found] == places
    assert "canary" not in str(found)
