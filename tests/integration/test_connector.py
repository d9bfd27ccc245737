"""The connector configuration does in Kafka Connect what connectors/README.md says, and failures tell no value."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from typer.testing import CliRunner

from cdc_masker.cli import app
from cdc_masker.connect import Connector, render
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.settings import Settings, load
from cdc_masker.stack import Database, Stack
from tests.kafka import administrator

pytestmark = pytest.mark.stack

Configure = Callable[..., Settings]


@pytest.fixture
def shop(stack: Stack, fresh_database: Callable[[str], Database]) -> Database:
    database = fresh_database("shop")
    stack.sql(
        "create table people (id int primary key, email text); alter table people replica identity full;"
        "create table untold (id int primary key);"
        "insert into people values (1, 'ann@example.com'); insert into untold values (1)",
        database.name,
    )
    return database


@pytest.fixture
def configure(
    stack: Stack, shop: Database, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Configure:
    """Sets a connector of its own up in the environment; keyword arguments are further settings."""
    monkeypatch.chdir(tmp_path)
    name = unique("shop")

    def configured(**settings: str) -> Settings:
        environment = {
            **stack.environment(shop.name),
            "CDC_MASKER_CONNECTOR_NAME": name,
            "CDC_MASKER_SOURCE_SERVER": name,
            "CDC_MASKER_SOURCE_SLOT": name,
            "CDC_MASKER_SOURCE_PUBLICATION": name,
            "CDC_MASKER_SOURCE_TABLES": "public.people",
            **{f"CDC_MASKER_{setting.upper()}": value for setting, value in settings.items()},
        }
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        return load()

    return configured


async def _values(stack: Stack, topic: str, count: int) -> list[bytes | None]:
    """The first `count` values of a topic, over all its partitions."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=stack.kafka_brokers, auto_offset_reset="earliest", metadata_max_age_ms=500
    )
    await consumer.start()
    try:
        values: list[bytes | None] = []
        async with asyncio.timeout(60):
            while len(values) < count:
                values.append((await consumer.getone()).value)
        return values
    finally:
        await consumer.stop()


async def test_rows_and_changes_of_the_named_tables_come_out(stack: Stack, shop: Database, configure: Configure) -> None:
    settings = configure(connector_format="json")
    assert await asyncio.to_thread(Connector(settings).apply, 90)
    stack.sql("update people set email = 'bea@example.com'; delete from people; insert into untold values (2)", shop.name)

    snapshot, update, delete, tombstone = await _values(stack, f"{settings.source_server}.public.people", 4)
    assert snapshot and update and delete and tombstone is None
    assert json.loads(snapshot)["op"] == "r"
    assert json.loads(update)["before"] == {"id": 1, "email": "ann@example.com"}
    assert json.loads(update)["transaction"]["total_order"] == 1
    assert json.loads(delete)["before"] == {"id": 1, "email": "bea@example.com"}

    published = stack.sql("select tablename from pg_publication_tables", shop.name)
    assert published == "people"
    async with administrator(stack.kafka_brokers) as admin:
        [topic] = await admin.describe_topics([f"{settings.source_server}.public.people"])
        topics = await admin.list_topics()
    assert len(topic["partitions"]) == 4
    assert f"{settings.source_server}.public.untold" not in topics


async def test_with_schema_each_record_describes_itself(stack: Stack, configure: Configure) -> None:
    settings = configure(connector_format="json-schema")
    await asyncio.to_thread(Connector(settings).apply, 90)
    [snapshot] = await _values(stack, f"{settings.source_server}.public.people", 1)
    assert snapshot
    assert set(json.loads(snapshot)) == {"schema", "payload"}


def test_applying_again_sends_nothing(stack: Stack, configure: Configure) -> None:
    configure()
    runner = CliRunner()
    assert runner.invoke(app, ["connector", "status"]).exit_code == 1
    assert "was sent" in runner.invoke(app, ["connector", "apply"]).stdout
    assert "was there already" in runner.invoke(app, ["connector", "apply"]).stdout
    shown = runner.invoke(app, ["connector", "status"])
    assert shown.exit_code == 0
    assert shown.stdout.strip().endswith("connector RUNNING; tasks RUNNING")
    rendered = runner.invoke(app, ["connector", "render"])
    assert json.loads(rendered.stdout) == render(load())


def test_a_refused_configuration_names_the_options_only(configure: Configure) -> None:
    settings = configure(source_user="nobody_of_that_name", source_host="127.0.0.1")
    with pytest.raises(SetupError) as raised:
        Connector(settings).apply(30)
    assert "refuses the configuration" in str(raised.value)
    assert "database." in str(raised.value)
    assert "nobody_of_that_name" not in str(raised.value)


def test_a_failure_names_classes_only_and_applying_again_restarts_it(
    stack: Stack, shop: Database, configure: Configure
) -> None:
    settings = configure()
    # A slot of that name which decodes with another plugin is found only when the task starts.
    stack.sql(f"select pg_create_logical_replication_slot('{settings.source_slot}', 'test_decoding')", shop.name)
    with pytest.raises(SetupError) as raised:
        Connector(settings).apply(60)
    assert "Exception" in str(raised.value)
    assert settings.source_slot not in str(raised.value).replace(settings.connector_name, "", 1)

    stack.sql(f"select pg_drop_replication_slot('{settings.source_slot}')", shop.name)
    assert not Connector(settings).apply(60)


def test_no_connect_is_said_without_its_address(configure: Configure, unused_tcp_port: int) -> None:
    settings = configure(connect_url=f"http://user:hidden@127.0.0.1:{unused_tcp_port}")
    with pytest.raises(TransientError, match="CDC_MASKER_CONNECT_URL") as raised:
        Connector(settings).apply(5)
    assert "hidden" not in str(raised.value)
