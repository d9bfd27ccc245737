"""The local stack starts, answers, survives what is done to it, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka.admin import NewTopic
from typer.testing import CliRunner

from cdc_masker.cli import app
from cdc_masker.errors import SetupError
from cdc_masker.stack import PARTS, Database, Stack
from cdc_masker.stack.processes import Command, spawn
from tests.kafka import administrator

pytestmark = pytest.mark.stack


async def _topics(stack: Stack) -> set[str]:
    async with administrator(stack.kafka_brokers) as admin:
        return set(await admin.list_topics())


async def _add_topic(stack: Stack, name: str) -> None:
    async with administrator(stack.kafka_brokers) as admin:
        await admin.create_topics([NewTopic(name=name, num_partitions=2, replication_factor=1)])


def test_every_part_answers_at_its_address(stack: Stack) -> None:
    assert [part.name for part in stack.status() if part.running] == list(PARTS)
    for part in PARTS:
        host, port = stack.address(part).split(":")
        socket.create_connection((host, int(port)), timeout=5).close()


def test_the_command_prints_settings_that_a_shell_understands(stack: Stack, tmp_path: Path) -> None:
    runner = CliRunner()
    printed = runner.invoke(app, ["stack", "up", "--dir", str(stack.directory)]).stdout
    shell = subprocess.run(["sh", "-c", 'eval "$0"; env', printed], env={}, capture_output=True, text=True, check=True)
    told = dict(line.split("=", 1) for line in shell.stdout.splitlines())
    assert {name: told.get(name) for name in stack.environment()} == stack.environment()
    assert f"cdc-masker stack down --dir {stack.directory}" in printed

    assert runner.invoke(app, ["stack", "status", "--dir", str(stack.directory)]).exit_code == 0
    nothing = runner.invoke(app, ["stack", "status", "--dir", str(tmp_path)])
    assert nothing.exit_code == 1
    assert nothing.stdout.count("stopped") == len(PARTS)
    assert runner.invoke(app, ["stack", "down", "--dir", str(tmp_path)]).exit_code == 0


def test_starting_again_changes_nothing(stack: Stack) -> None:
    before = (stack.directory / "stack.json").read_text()
    stack.up()
    assert (stack.directory / "stack.json").read_text() == before


def test_another_program_sees_the_same_stack(stack: Stack) -> None:
    other = Stack(stack.directory)
    assert other.status() == stack.status()
    assert other.environment() == stack.environment()


def test_the_password_of_postgres_is_told_to_its_owner_only(postgres: Stack) -> None:
    state = postgres.directory / "stack.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    password = json.loads(state.read_text())["password"]
    assert password not in repr(postgres.database())
    for process in psutil.process_iter(["cmdline"]):
        assert password not in " ".join(process.info["cmdline"] or ())


async def test_postgres_decodes_logically_and_asks_for_a_password(
    fresh_database: Callable[[str], Database],
) -> None:
    database = fresh_database("logical")
    connection = await asyncpg.connect(database.dsn)
    try:
        assert await connection.fetchval("show wal_level") == "logical"
        assert await connection.fetchval("select current_database()") == database.name
    finally:
        await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database.dsn_of("postgres", "wrong"))


def test_a_statement_that_fails_is_an_error(postgres: Stack) -> None:
    with pytest.raises(SetupError, match='relation "nowhere" does not exist'):
        postgres.sql("select * from nowhere")


async def test_kafka_and_postgres_come_back_with_their_data_and_address(tmp_path: Path) -> None:
    with Stack(tmp_path / "own") as stack:
        stack.up("postgres", "kafka")
        assert not stack.running("connect")
        addresses = {part: stack.address(part) for part in ("postgres", "kafka")}
        stack.sql("create table kept (id int)")
        await _add_topic(stack, "kept")

        for end in (stack.kill, stack.stop):
            for part in ("postgres", "kafka"):
                end(part)
                assert not stack.running(part)
                stack.start(part)
                assert stack.address(part) == addresses[part]
            assert stack.sql("select count(*) from kept") == "0"
            assert "kept" in await _topics(stack)

        processes = [psutil.Process(part.pid) for part in stack.status() if part.pid]
        family = processes + [child for process in processes for child in process.children(recursive=True)]
        stack.wipe()
        assert not any(process.is_running() for process in family)
        assert not stack.directory.exists()


def test_a_part_that_ends_at_its_start_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "own")
    stack.up("kafka")
    stack.down()
    (stack.directory / "kafka" / "data" / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=9\n")
    with pytest.raises(SetupError, match=r"kafka of the local stack ended while it started; .*/kafka\.log says why"):
        stack.up("connect")
    assert not any(part.running for part in stack.status())
    stack.wipe()


def test_wiping_deletes_nothing_that_the_stack_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("five years of work")
    stack = Stack(tmp_path)
    stack.up("postgres")
    stack.wipe()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interrupted_start_ends_what_it_began(tmp_path: Path) -> None:
    def interrupt(told: str) -> None:
        if told.startswith("kafka: starting"):
            raise KeyboardInterrupt

    stack = Stack(tmp_path / "own", interrupt)
    with pytest.raises(KeyboardInterrupt):
        stack.up("postgres", "kafka")
    assert not any(part.running for part in stack.status())
    stack.wipe()


def test_a_process_that_got_the_id_of_an_ended_one_is_left_alone(tmp_path: Path) -> None:
    command = Command(argv=("sleep", "600"), environment=dict(os.environ))
    stranger = spawn(command, tmp_path, tmp_path / "log")
    try:
        state = tmp_path / "stack.json"
        process = {"pid": stranger.pid, "started": "another boot:1"}
        state.write_text(json.dumps({"password": "x", "processes": {"kafka": process}}))
        stack = Stack(tmp_path)
        assert not stack.running("kafka")
        stack.kill("kafka")
        assert stranger.alive
    finally:
        os.kill(stranger.pid, signal.SIGKILL)


def test_a_stack_that_was_never_started_says_so(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "none")
    with pytest.raises(SetupError, match="was never started; run `cdc-masker stack up`"):
        _ = stack.kafka_brokers
    assert not (tmp_path / "none").exists()
