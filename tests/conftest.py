"""Fixtures for all tests. The real stack is started once for a whole run, each part when the first test needs it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from cdc_masker.stack import Database, Stack

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def _shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        yield stack
    finally:
        stack.wipe()


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
    run, numbers = secrets.token_hex(2), itertools.count(1)
    return lambda name: f"{name}_{run}_{next(numbers)}"


@pytest.fixture(scope="session")
def fresh_database(postgres: Stack, unique: Callable[[str], str]) -> Callable[[str], Database]:
    """Makes an empty database with a name of its own; its `.dsn` is the superuser's."""
    return lambda name: postgres.create_database(unique(name))
