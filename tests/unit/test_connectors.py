"""The connector configuration: filled from settings, explained, without a secret."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from cdc_masker import connect, resources
from cdc_masker.connect import TaskStatus, render
from cdc_masker.errors import SetupError
from cdc_masker.settings import load

CONNECTORS = Path(__file__).parents[2] / "connectors"


def test_every_option_is_explained() -> None:
    explained = re.findall(r"`([\w.*]+)`", (CONNECTORS / "README.md").read_text().split("## Each option")[1])
    options = json.loads((CONNECTORS / "postgres-source.json").read_text())
    assert [option for option in options if not any(fnmatchcase(option, name) for name in explained)] == []


def test_settings_fill_their_places() -> None:
    filled = render(load(source_host="db.internal", source_port=6432, source_tables="crm.customers,crm.orders"))
    assert filled["database.hostname"] == "db.internal"
    assert filled["database.port"] == "6432"
    assert filled["table.include.list"] == "crm.customers,crm.orders"


@pytest.mark.parametrize(("format_", "schemas"), [("json", "false"), ("json-schema", "true")])
def test_both_formats_of_json(format_: str, schemas: str) -> None:
    filled = render(load(connector_format=format_))
    assert filled["key.converter.schemas.enable"] == filled["value.converter.schemas.enable"] == schemas


def test_an_option_without_a_value_is_left_out() -> None:
    assert "table.include.list" not in render(load(source_tables=""))


def test_the_password_stays_a_reference() -> None:
    assert render(load())["database.password"] == "${env:SOURCE_PASSWORD}"
    with pytest.raises(SetupError, match="SOURCE_PASSWORD must be a reference") as raised:
        load(source_password="hidden")
    assert "hidden" not in str(raised.value)


def test_a_secret_has_no_place_in_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "postgres-source.json").write_text('{"database.password": "{database_url}"}')
    monkeypatch.setattr(resources, "path", lambda name: tmp_path)
    with pytest.raises(SetupError, match=r"database\.password names 'database_url'"):
        connect.render(load(database_url="postgresql://worker:hidden@localhost/x"))


def test_a_failure_is_told_by_its_classes() -> None:
    trace = (
        "org.apache.kafka.connect.errors.ConnectException: row (ann@example.com) is bad\n"
        "\tat io.debezium.Something.run(Something.java:7)\n"
        "Caused by: java.lang.IllegalStateException\n"
        "Caused by: org.postgresql.util.PSQLException: ERROR: Key (email)=(ann\nann.Exception: again)\n"
    )
    told = str(TaskStatus.of({"state": "FAILED", "trace": trace}))
    assert told == (
        "FAILED (org.apache.kafka.connect.errors.ConnectException caused by java.lang.IllegalStateException "
        "caused by org.postgresql.util.PSQLException)"
    )
