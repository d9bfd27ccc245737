"""Kafka Connect of the local stack: one distributed worker with the Debezium connector on its plugin path."""

from __future__ import annotations

import http.client
import signal
from pathlib import Path
from typing import ClassVar

from cdc_masker.stack import java
from cdc_masker.stack.jars import Jars
from cdc_masker.stack.processes import Command

__all__ = ["Connect"]

_HOST = "127.0.0.1"
_PROVIDERS = "org.apache.kafka.common.config.provider"


class Connect:
    """How the Connect worker starts. `source_password` is what `${env:SOURCE_PASSWORD}` stands for in a connector."""

    name: ClassVar[str] = "connect"
    ports: ClassVar[tuple[str, ...]] = ("connect",)
    needs: ClassVar[tuple[str, ...]] = ("kafka",)
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, home: Path, port: int, brokers: str, jars: Jars, source_password: str) -> None:
        self._home = home
        self._properties = home / "connect.properties"
        self._port = port
        self._brokers = brokers
        self._jars = jars
        self._source_password = source_password

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self._port}"

    def prepare(self) -> None:
        self._home.mkdir(exist_ok=True)
        storage = {
            f"{kind}.storage.{name}": value
            for kind in ("config", "offset", "status")
            for name, value in (("topic", f"connect-{kind}"), ("replication.factor", 1), ("partitions", 1))
            if (kind, name) != ("config", "partitions")  # it always has one
        }
        java.write_properties(
            self._properties,
            {
                "bootstrap.servers": self._brokers,
                "group.id": "connect",
                "listeners": self.url,
                **storage,
                "key.converter": "org.apache.kafka.connect.json.JsonConverter",
                "value.converter": "org.apache.kafka.connect.json.JsonConverter",
                "plugin.path": self._jars.plugins,
                "plugin.discovery": "only_scan",
                # There is no other worker whose return would be worth waiting for.
                "scheduled.rebalance.max.delay.ms": 0,
                "offset.flush.interval.ms": 1000,
                "config.providers": "env,file",
                "config.providers.env.class": f"{_PROVIDERS}.EnvVarConfigProvider",
                # A connector configuration must not be a way to read the rest of the environment.
                "config.providers.env.param.allowlist.pattern": "SOURCE_.*",
                "config.providers.file.class": f"{_PROVIDERS}.FileConfigProvider",
                "config.providers.file.param.allowed.paths": self._home,
            },
        )

    def command(self) -> Command:
        return java.command(
            self._jars,
            "org.apache.kafka.connect.cli.ConnectDistributed",
            self._properties,
            environment={"SOURCE_PASSWORD": self._source_password},
        )

    def ready(self) -> bool:
        """Whether the worker has joined its group: before that it can't list connectors."""
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=5)
        try:
            connection.request("GET", "/connectors")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def settle(self) -> None:
        """Nothing is left to do once the worker answers."""
