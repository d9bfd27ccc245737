"""Kafka of the local stack: one KRaft broker that is its own controller."""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from cdc_masker.errors import SetupError
from cdc_masker.stack import java
from cdc_masker.stack.jars import Jars
from cdc_masker.stack.processes import Command

__all__ = ["Kafka"]

_HOST = "127.0.0.1"
_ONE_BROKER = {
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
}
_QUICK = {
    # Fewer partitions of the internal topics: nobody shares the load of one broker, and each costs time at the start.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "controlled.shutdown.enable": "false",
    # A broker that was killed comes back only after its session ran out.
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
}


class Kafka:
    """How the broker starts; `home` is where its data is.

    A broker tells its clients where they reach it. So that a proxy can stand between, a second listener at port `behind` tells
    them the proxy's port, `proxy`; without a proxy there is none.
    """

    name: ClassVar[str] = "kafka"
    ports: ClassVar[tuple[str, ...]] = ("kafka", "controller", "kafka-behind-proxy")
    needs: ClassVar[tuple[str, ...]] = ()
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, home: Path, port: int, controller_port: int, behind: int, *, jars: Jars, proxy: int | None) -> None:
        self._home = home
        self._properties = home / "kraft.properties"
        self._data = home / "data"
        self._port = port
        self._controller_port = controller_port
        self._jars = jars
        self._behind = behind
        self._proxy = proxy

    @property
    def brokers(self) -> str:
        return f"{_HOST}:{self._port}"

    def prepare(self) -> None:
        """Writes the configuration and formats the storage when that has not been done."""
        self._home.mkdir(exist_ok=True)
        java.write_properties(
            self._properties,
            {
                "process.roles": "broker,controller",
                "node.id": 1,
                "controller.quorum.voters": f"1@{_HOST}:{self._controller_port}",
                "controller.listener.names": "CONTROLLER",
                "listeners": f"PLAINTEXT://{self.brokers},CONTROLLER://{_HOST}:{self._controller_port}{self._at(self._behind)}",
                "advertised.listeners": f"PLAINTEXT://{self.brokers}{self._at(self._proxy)}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXY:PLAINTEXT",
                "log.dirs": self._data,
                # A misspelt topic is an error, as it should be in production.
                "auto.create.topics.enable": "false",
                **_ONE_BROKER,
                **_QUICK,
            },
        )
        if (self._data / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        arguments = ("format", "--config", self._properties, f"--cluster-id={cluster}")
        formatting = java.command(self._jars, "kafka.tools.StorageTool", *arguments)
        done = subprocess.run(formatting.argv, env=formatting.environment, capture_output=True, text=True)
        if done.returncode:
            raise SetupError(f"Kafka's storage in {self._data} can't be formatted: {done.stderr.strip()[-300:]}; delete it")

    def _at(self, port: int | None) -> str:
        return "" if self._proxy is None else f",PROXY://{_HOST}:{port}"

    def command(self) -> Command:
        return java.command(self._jars, "kafka.Kafka", self._properties)

    def ready(self) -> bool:
        """Whether a client finds the broker in the cluster it describes."""
        try:
            socket.create_connection((_HOST, self._port), timeout=2).close()  # a client would log its failure
        except OSError:
            return False
        # In a thread of its own, because the caller may have an event loop that runs.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(self._answers())).result()

    def settle(self) -> None:
        """Nothing is left to do once the broker answers."""

    async def _answers(self) -> bool:
        # Here, because it takes long to import, and every command of cdc-masker would wait for it.
        from aiokafka.admin import AIOKafkaAdminClient
        from aiokafka.errors import KafkaError

        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers, request_timeout_ms=2000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except KafkaError:
            return False
        finally:
            await admin.close()
