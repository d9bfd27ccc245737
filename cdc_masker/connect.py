"""The source connector: its configuration filled from settings, and the few calls to Kafka Connect's REST interface.

What always holds: nothing that Kafka Connect answers is repeated except states, names of options and classes of exceptions,
because its messages may quote the configuration or rows.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from cdc_masker import resources
from cdc_masker.errors import SetupError, TransientError
from cdc_masker.settings import PREFIX, Settings

__all__ = ["Connector", "ConnectorStatus", "TaskStatus", "render"]

_TEMPLATE = "postgres-source.json"
_REQUEST_SECONDS = 30.0
# States are believed when they have held for this long: a task counts as running from its start, before it has reached its
# database, and one that is started again is shown as failed for a moment.
_STEADY_SECONDS = 3.0
_POLL_SECONDS = 0.25
# What Connect answers while its workers share out their work: the first to changes, the second to questions.
_SHARING_OUT = (HTTPStatus.CONFLICT, HTTPStatus.INTERNAL_SERVER_ERROR)
# The first line of a trace and each "Caused by" start with a class; what follows it may quote a row, in several lines.
_CLASSES = re.compile(r"(?:\A|^Caused by: )((?:\w+\.)+[A-Z][\w$]*(?:Exception|Error))(?=:|$)", re.MULTILINE)


def render(settings: Settings) -> dict[str, str]:
    """The connector's configuration. Options whose setting is empty are left out."""
    values = {name: str(value) for name, value in settings if isinstance(value, str | int)}
    values["with_schema"] = "true" if settings.connector_format == "json-schema" else "false"
    values |= _channels(settings)
    template = json.loads((resources.path("connectors") / _TEMPLATE).read_text())

    def fill(option: str, text: str) -> str:
        try:
            return re.sub(r"\{(\w+)\}", lambda place: values[place[1]], text)
        except KeyError as unknown:
            raise SetupError(f"{_TEMPLATE}: {option} names {unknown}, which is not a setting; correct it") from None

    filled = {option: fill(option, text) for option, text in template.items()}
    return {option: text for option, text in filled.items() if text}


def _channels(settings: Settings) -> dict[str, str]:
    """What the template says of signals and notifications: nothing of the latter where there are none of the former."""
    if settings.signal_topic and settings.kafka_security != "PLAINTEXT":
        raise SetupError(
            f"Debezium's own consumer of {PREFIX}SIGNAL_TOPIC would need credentials, and this configuration has no place for "
            f"them; set {PREFIX}SIGNAL_TABLE instead"
        )
    by_table, by_topic = bool(settings.signal_table), bool(settings.signal_topic)
    return {
        "signal_channels": ",".join(["source"] * by_table + ["kafka"] * by_topic),
        "signal_brokers": settings.kafka_brokers * by_topic,
        "signal_group": f"{settings.connector_name}-signals" * by_topic,
        "read_only": "true" * (by_topic and not by_table),
        "notification_channels": "sink" * (by_table or by_topic),
        "notification_topic": settings.notification_topic * (by_table or by_topic),
    }


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """`state` as Kafka Connect names it; `failure` the exception classes of a failed one, outermost first."""

    state: str
    failure: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: dict[str, Any]) -> TaskStatus:
        found = _CLASSES.findall(document.get("trace", ""))
        return cls(document["state"], tuple(dict.fromkeys(found)))

    def __str__(self) -> str:
        return f"{self.state} ({' caused by '.join(self.failure)})" if self.failure else self.state


@dataclass(frozen=True, slots=True)
class ConnectorStatus:
    """State of a connector and of its tasks."""

    connector: TaskStatus
    tasks: tuple[TaskStatus, ...]

    @property
    def running(self) -> bool:
        """Whether it and at least one task run, and no task does anything else."""
        return bool(self.tasks) and all(part.state == "RUNNING" for part in (self.connector, *self.tasks))

    @property
    def failed(self) -> bool:
        return any(part.state == "FAILED" for part in (self.connector, *self.tasks))

    def __str__(self) -> str:
        tasks = ", ".join(map(str, self.tasks)) or "none"
        return f"connector {self.connector}; tasks {tasks}"


class Connector:
    """One connector in a Kafka Connect cluster. Raises `TransientError` when Connect can't be reached or answers oddly.

    `options` are further options of Debezium's; they come before those that settings fill.
    """

    def __init__(self, settings: Settings, options: Mapping[str, str] = MappingProxyType({})) -> None:
        if urlsplit(settings.connect_url).scheme not in ("http", "https"):
            raise SetupError(f"{PREFIX}CONNECT_URL must start with http:// or https://")
        self._url = settings.connect_url.rstrip("/")
        self._name = settings.connector_name
        self._path = f"/connectors/{quote(self._name, safe='')}"
        self._config = {**render(settings), **options, "name": self._name}

    def apply(self, seconds: float, progress: Callable[[str], None] = lambda told: None) -> bool:
        """Sends the configuration unless it is there already, and waits until the connector runs. Gives whether it was sent.

        Raises `SetupError` when Connect refuses it or the connector fails, `TransientError` when `seconds` run out.
        """
        deadline = time.monotonic() + seconds
        sent = self.configuration(deadline) != self._config
        if sent:
            progress("sending the configuration")
            self._send(deadline)
        elif (found := self.status()) and found.failed:
            progress("restarting what failed")
            self._ask("POST", f"{self._path}/restart?includeTasks=true&onlyFailed=true")
        self._await_running(deadline, progress)
        return sent

    def status(self) -> ConnectorStatus | None:
        """Its state, None when Connect has no connector of that name or has not started it yet."""
        code, answer = self._ask("GET", f"{self._path}/status")
        if code == HTTPStatus.NOT_FOUND:
            return None
        self._expect(code, HTTPStatus.OK)
        return ConnectorStatus(TaskStatus.of(answer["connector"]), tuple(map(TaskStatus.of, answer["tasks"])))

    def configuration(self, deadline: float) -> dict[str, str] | None:
        """What Connect has under its name, None when there is nothing. `deadline` is in `time.monotonic()`'s seconds."""
        code, answer = self._ask_settled(deadline, "GET", f"{self._path}/config")
        if code == HTTPStatus.NOT_FOUND:
            return None
        self._expect(code, HTTPStatus.OK)
        config: dict[str, str] = answer
        return config

    def _send(self, deadline: float) -> None:
        code, _ = self._ask_settled(deadline, "PUT", f"{self._path}/config", self._config)
        if code == HTTPStatus.BAD_REQUEST:
            raise SetupError(
                f"Kafka Connect refuses the configuration of {self._name} ({self._refused()}); "
                "correct the settings behind it (`cdc-masker connector render` shows them) and the source database's rights"
            )
        self._expect(code, HTTPStatus.OK, HTTPStatus.CREATED)

    def _refused(self) -> str:
        """The names of the options that Connect finds fault with."""
        plugin = quote(self._config["connector.class"].rpartition(".")[2], safe="")
        code, answer = self._ask("PUT", f"/connector-plugins/{plugin}/config/validate", self._config)
        if code != HTTPStatus.OK:
            return "it does not say which option"
        values = [option["value"] for option in answer["configs"]]
        return ", ".join(value["name"] for value in values if value["errors"]) or "it does not say which option"

    def _await_running(self, deadline: float, progress: Callable[[str], None]) -> None:
        last, since = self.status(), time.monotonic()
        while (now := time.monotonic()) < deadline:
            found = self.status()
            if found != last:
                last, since = found, now
            if found and now - since >= _STEADY_SECONDS:
                if found.running:
                    return
                if found.failed:
                    raise SetupError(f"{self._name} failed: {found}; Kafka Connect's log has the whole story")
            progress(str(found or "not started yet"))
            time.sleep(_POLL_SECONDS)
        raise TransientError(f"{self._name} does not run yet: {last or 'not started'}; look at Kafka Connect's log")

    def _expect(self, code: int, *expected: HTTPStatus) -> None:
        if code not in expected:
            raise TransientError(f"Kafka Connect at {PREFIX}CONNECT_URL answered with status {code}; look at its log")

    def _ask_settled(self, deadline: float, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, Any]:
        """As `_ask`, and asks again while workers share out their work: until that is done they tell and take nothing."""
        while True:
            code, answer = self._ask(method, path, body)
            if code not in _SHARING_OUT or time.monotonic() > deadline:
                return code, answer
            time.sleep(_POLL_SECONDS)

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, Any]:
        """Sends one request; gives the status and, with status 2xx, the JSON that was answered."""
        request = urllib.request.Request(  # noqa: S310 - the constructor has checked the scheme
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as response:  # noqa: S310
                content = response.read()
                return response.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except (OSError, ValueError):
            raise TransientError(
                f"Kafka Connect can't be reached at {PREFIX}CONNECT_URL; check the address and that it runs"
            ) from None
