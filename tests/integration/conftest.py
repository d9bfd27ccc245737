"""Fixtures of the tests that run workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cdc_masker.stack import Stack
from tests.integration.kit import Deployment

Deploy = Callable[..., Deployment]


@pytest.fixture
def deploy(postgres: Stack, kafka: Stack, unique: Callable[[str], str], tmp_path: Path) -> Iterator[Deploy]:
    """Makes deployments on the shared stack; keyword arguments are settings. Their workers end with the test."""
    made: list[Deployment] = []

    def make(stack: Stack = kafka, **settings: str) -> Deployment:
        home = tmp_path / str(len(made))
        home.mkdir()
        made.append(Deployment.make(stack, home, unique("worker"), **settings))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """PostgreSQL and Kafka of this test alone, which may stop them."""
    with Stack(tmp_path / "stack") as stack:
        stack.up("postgres", "kafka")
        yield stack
        stack.wipe()
