"""A sink connector goes on in a new generation as docs/replay.md says, on a real Kafka Connect."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdc_masker.stack import Stack
from tests.integration.conftest import Deploy
from tests.integration.kit import until
from tests.integration.test_cutover import PAGE, begin, finish, told

pytestmark = pytest.mark.stack

_, _, _REST = PAGE.read_text().partition("<!-- tested: sink -->\n```sh\n")
MOVE = _REST.partition("```")[0]


@pytest.fixture
def connect(stack: Stack) -> Iterator[str]:
    """The address of Kafka Connect, on which a connector `warehouse` is deleted at the end."""
    url = stack.connect_url
    yield url
    ask(url, "DELETE", "/connectors/warehouse")


def ask(url: str, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        content = answer.read()
        return json.loads(content) if content else None


def test_a_sink_gets_each_record_once(deploy: Deploy, stack: Stack, connect: str) -> None:
    deployment = deploy(stack)
    topic, masked, sunk = deployment.topic, deployment.masked_topic(), deployment.home / "sunk.txt"
    deployment.create(topic, 2)
    deployment.produce(100, partitions=2)
    workers = [deployment.ready(deployment.start())]
    until(lambda: deployment.audited() == 100, 30, workers[0].log.read_text)
    begin(deployment, topic)
    workers.append(deployment.ready(deployment.start(generation="2")))
    until(lambda: deployment.audited() == 200, 30, workers[1].log.read_text)
    sink = {
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "tasks.max": "1",
        "topics": masked,
        "file": str(sunk),
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
        "consumer.override.isolation.level": "read_committed",
        "consumer.override.auto.offset.reset": "earliest",
    }
    ask(connect, "PUT", "/connectors/warehouse/config", sink)
    code, _, problem = finish(deployment)
    assert code == 0, problem
    deployment.produce(20, partitions=2, first=100)
    until(lambda: len(deployment.masked(f"{topic}.g2")) == 120, 30, workers[1].log.read_text)

    cuts = {each["partition"]: each for each in told(deployment)}
    until(lambda: offsets(connect, masked) == {number: cut["old_position"] for number, cut in cuts.items()}, 60)
    (deployment.home / "warehouse.json").write_text(json.dumps({**sink, "topics": f"{masked}.g2"}))
    commands = MOVE.replace("masked.shop.crm.customers.g2", f"{masked}.g2")
    for number, shown in enumerate(re.findall('"kafka_offset": ([0-9]+)', MOVE)):
        commands = commands.replace(shown, str(cuts[number]["new_position"]))
    subprocess.run(["bash", "-ec", commands], cwd=deployment.home, env={**os.environ, "CONNECT": connect}, check=True)
    until(lambda: len(ids(sunk)) >= 120, 60, lambda: ids(sunk)[-3:])
    assert sorted(ids(sunk)) == list(range(120))


def offsets(connect: str, topic: str) -> dict[int, int]:
    """Where the connector is, by partition of that topic."""
    found = ask(connect, "GET", "/connectors/warehouse/offsets")["offsets"]
    return {
        each["partition"]["kafka_partition"]: each["offset"]["kafka_offset"]
        for each in found
        if each["partition"]["kafka_topic"] == topic
    }


def ids(sunk: Path) -> list[int]:
    """The rows that were written."""
    return [json.loads(line)["after"]["id"] for line in sunk.read_text().splitlines()] if sunk.exists() else []
