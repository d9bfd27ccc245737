"""Fixtures for all tests, and how a run that `pytest -n` splits over processes is split.

What always holds: the real stack is started once for a whole run, each part when the first test of any process needs it, and
wiped when all processes are done; a file of tests stays in one process, and so does the zoo, whose capture is taken once.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist import is_xdist_worker
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from cdc_masker.stack import Database, Stack

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_STACK = pytest.StashKey[Path]()
"""Where the stack of the whole run is; the process that starts the others tells them."""


def pytest_configure(config: pytest.Config) -> None:
    told: str | None = getattr(config, "workerinput", {}).get("stack")
    config.stash[_STACK] = Path(told or f"{tempfile.gettempdir()}/cdc-masker-tests-{secrets.token_hex(8)}")


def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["stack"] = str(node.config.stash[_STACK])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByFile(config, log)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Gives files of tests to processes, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/zoo" if file.startswith("tests/zoo/") else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that need the stack come first, so that at the end no process waits long for another."""
    slow = {item.path for item in items if item.get_closest_marker("stack")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Wipes the stack once no process can need it any more."""
    if not is_xdist_worker(session):
        with Stack(session.config.stash[_STACK]) as stack:
            stack.kill("connect")  # what its connectors would settle is wiped with them


@pytest.fixture(autouse=True)
def _logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that runs in this process conceals exceptions from then on; the next test is not to notice."""
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook"), (logging, "raiseExceptions")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    make = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(make)


@pytest.fixture(scope="session")
def _shared_stack(pytestconfig: pytest.Config) -> Stack:
    return Stack(pytestconfig.stash[_STACK])


@pytest.fixture(scope="session")
def postgres(_shared_stack: Stack) -> Stack:
    """The shared stack with at least PostgreSQL running."""
    _shared_stack.up("postgres")
    return _shared_stack


@pytest.fixture(scope="session")
def kafka(_shared_stack: Stack) -> Stack:
    """The shared stack with at least Kafka running."""
    _shared_stack.up("kafka")
    return _shared_stack


@pytest.fixture(scope="session")
def stack(_shared_stack: Stack) -> Stack:
    """The shared stack with every part running. A test that stops or kills a part starts a `Stack` of its own."""
    _shared_stack.up()
    return _shared_stack


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    """Makes a name that nothing else has, for topics, slots, roles and groups: letters, digits and underscores."""
    run, numbers = secrets.token_hex(4), itertools.count(1)
    return lambda name: f"{name}_{run}_{next(numbers)}"


@pytest.fixture(scope="session")
def fresh_database(postgres: Stack, unique: Callable[[str], str]) -> Callable[[str], Database]:
    """Makes an empty database with a name of its own; its `.dsn` is the superuser's."""
    return lambda name: postgres.create_database(unique(name))
