"""What the doctor finds in settings, and what it lets be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_masker.catalog.guarding import Condition
from cdc_masker.catalog.partitions import Partitioning
from cdc_masker.catalog.verifying import Verification
from cdc_masker.connect import render
from cdc_masker.doctor import Severity
from cdc_masker.doctor.audit import of_partitioning
from cdc_masker.doctor.catalog import of_catalog
from cdc_masker.doctor.connections import of_connections
from cdc_masker.doctor.connector import of_connector
from cdc_masker.doctor.kafka import of_brokers, of_topics
from cdc_masker.doctor.source import Publication, Slot, of_publication, of_slot
from cdc_masker.settings import load

HARMLESS = render(load())
CLOSED: dict[str, str | None] = {
    "authorizer.class.name": "A",
    "allow.everyone.if.no.acl.found": "false",
    "auto.create.topics.enable": "false",
}


def test_our_own_connector_configuration_is_harmless() -> None:
    assert list(of_connector(HARMLESS)) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("errors.log.include.messages", "true"),
        ("errors.tolerance", "all"),
        ("errors.deadletterqueue.topic.name", "dead"),
        ("event.processing.failure.handling.mode", "warn"),
        ("slot.drop.on.stop", "true"),
        ("database.password", "canary"),
    ],
)
def test_an_option_that_lets_raw_values_out_is_an_error(option: str, value: str) -> None:
    (finding,) = of_connector({**HARMLESS, option: value})
    assert (finding.severity, finding.place) == (Severity.ERROR, f"connector: {option}")
    assert "canary" not in str(finding)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"publication.autocreate.mode": "all_tables"}, "publication.autocreate.mode"),
        ({"database.hostname": "db.example.com"}, "database.sslmode"),
        ({"database.hostname": "db.example.com", "database.sslmode": "disable"}, "database.sslmode"),
    ],
)
def test_an_option_that_may_let_raw_values_out_is_a_warning(change: dict[str, str], place: str) -> None:
    (finding,) = of_connector({**HARMLESS, **change})
    assert (finding.severity, finding.place) == (Severity.WARNING, f"connector: {place}")


def test_what_debezium_does_by_default_is_known() -> None:
    assert [finding.place for finding in of_connector({})] == ["connector: publication.autocreate.mode"]
    encrypted = {**HARMLESS, "database.hostname": "db.example.com", "database.sslmode": "verify-full"}
    assert list(of_connector(encrypted)) == []


def test_a_connector_that_is_not_there_is_told() -> None:
    (finding,) = of_connector(None)
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"authorizer.class.name": None}, "authorizer"),
        ({"authorizer.class.name": ""}, "authorizer"),
        ({"allow.everyone.if.no.acl.found": "true"}, "allow.everyone"),
    ],
)
def test_raw_topics_that_everybody_may_read_are_told(options: dict[str, str | None], place: str) -> None:
    (finding,) = of_brokers({**CLOSED, **options})
    assert place in finding.place


def test_access_lists_without_holes_are_no_finding() -> None:
    assert list(of_brokers(CLOSED)) == []


@pytest.mark.parametrize("options", [{}, {"auto.create.topics.enable": "true"}])
def test_brokers_that_make_topics_by_themselves_are_told(options: dict[str, str]) -> None:
    closed = {key: value for key, value in CLOSED.items() if key != "auto.create.topics.enable"}
    (finding,) = of_brokers({**closed, **options})
    assert finding.place == "brokers: auto.create.topics.enable"


LIMITED = {"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"}


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({}, []),
        ({"retention.ms": "-1", "retention.bytes": "1000"}, []),
        ({"retention.ms": "-1"}, ["retention.ms"]),
        ({"cleanup.policy": "compact"}, ["retention.ms", "cleanup.policy"]),
        ({"cleanup.policy": "compact,delete"}, ["cleanup.policy"]),
        ({"unclean.leader.election.enable": "true"}, ["unclean.leader.election.enable"]),
    ],
)
def test_raw_topics_that_keep_all_for_ever_or_lose_some_are_told(options: dict[str, str], places: list[str]) -> None:
    found = of_topics({"raw": {**LIMITED, **options}, "other": LIMITED})
    assert [finding.place for finding in found] == [f"topic raw: {place}" for place in places]


def test_that_there_is_no_raw_topic_is_told() -> None:
    (finding,) = of_topics({})
    assert finding.place == "CDC_MASKER_SOURCE_TOPICS"


SOUND = Condition((), (), (), (), (), True, False, False, False, False)
FITS = Verification(versions=2, seal="sha256:00", signed=2, anchors=3, problems=())


def test_a_catalog_that_is_what_it_was_released_as_is_no_finding() -> None:
    assert list(of_catalog(SOUND, FITS, signatures_required=True)) == []


@pytest.mark.parametrize(
    ("change", "severity", "place"),
    [
        ({"changeable": ("cdc_masker.policy_rule",)}, "error", "catalog: cdc_masker.policy_rule"),
        ({"emptyable": ("cdc_masker.policy_rule",)}, "error", "catalog: cdc_masker.policy_rule"),
        ({"grants": (("me", "UPDATE", "policy_rule"),)}, "error", "catalog: policy_rule"),
        ({"strange": ("function release_policy",)}, "error", "catalog: function release_policy"),
        ({"owners": ("admin",)}, "warning", "catalog: role admin"),
        ({"guarded": False}, "warning", "catalog: guard"),
        ({"login_is_owner": True, "login_is_migrator": True}, "warning", "CDC_MASKER_DATABASE_URL"),
        ({"login_is_superuser": True, "login_is_owner": True}, "warning", "CDC_MASKER_DATABASE_URL"),
        ({"login_is_migrator": True}, "warning", "CDC_MASKER_DATABASE_URL"),
        ({"login_is_signer": True}, "warning", "CDC_MASKER_DATABASE_URL"),
    ],
)
def test_a_catalog_that_could_be_changed_is_told(change: dict[str, Any], severity: str, place: str) -> None:
    (finding,) = of_catalog(replace(SOUND, **change), FITS, signatures_required=True)
    assert (finding.severity, finding.place) == (severity, place)


def test_a_catalog_that_does_not_verify_is_an_error() -> None:
    broken = replace(FITS, problems=("version 2: does not fit its seal: somebody changed it",))
    (finding,) = of_catalog(SOUND, broken, signatures_required=True)
    assert (finding.severity, finding.place) == (Severity.ERROR, "catalog: version 2")
    assert finding.problem == "does not fit its seal: somebody changed it"


def test_versions_that_need_no_signature_are_told() -> None:
    (finding,) = of_catalog(SOUND, FITS, signatures_required=False)
    assert (finding.severity, finding.place) == (Severity.WARNING, "CDC_MASKER_POLICY_KEY_FILE")


@pytest.mark.parametrize(
    ("found", "severities"),
    [
        (Publication(whole=True, all_tables=False, nameless=()), []),
        (None, ["error"]),
        (Publication(whole=False, all_tables=False, nameless=()), ["error"]),
        (Publication(whole=True, all_tables=True, nameless=()), ["warning"]),
        (Publication(whole=True, all_tables=False, nameless=("s.a", "s.b")), ["warning", "warning"]),
    ],
)
def test_a_publication_that_leaves_something_out_is_told(found: Publication | None, severities: list[str]) -> None:
    assert [finding.severity for finding in of_publication("p", found)] == severities


@pytest.mark.parametrize(
    ("found", "severities"),
    [
        (Slot(active=True, status="reserved", lag=1 << 30), []),
        (Slot(active=True, status="extended", lag=None), []),
        (None, ["error"]),
        (Slot(active=True, status="lost", lag=None), ["error"]),
        (Slot(active=True, status="unreserved", lag=0), ["warning"]),
        (Slot(active=False, status="reserved", lag=0), ["warning"]),
        (Slot(active=True, status="reserved", lag=(1 << 30) + 1), ["warning"]),
    ],
)
def test_a_slot_that_lags_behind_or_lost_something_is_told(found: Slot | None, severities: list[str]) -> None:
    assert [finding.severity for finding in of_slot("s", found)] == severities


@pytest.mark.parametrize(
    ("found", "severity", "place"),
    [
        (Partitioning(("audit_note_2026_12",), (), ()), "warning", "catalog: audit_note_2026_12"),
        (Partitioning((), ("2031-01",), ()), "warning", "catalog: audit_entry_default"),
        (Partitioning((), (), ("worker_1",)), "error", "catalog: worker_1"),
    ],
)
def test_an_audit_without_room_or_that_workers_may_retire_is_told(found: Partitioning, severity: str, place: str) -> None:
    assert [(finding.severity, finding.place) for finding in of_partitioning(found)] == [(severity, place)]
    assert list(of_partitioning(Partitioning((), (), ()))) == []


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
