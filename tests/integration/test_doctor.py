"""The doctor at the bed of a real Kafka Connect and a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cdc_masker.connect import Connector
from cdc_masker.settings import PREFIX, load
from cdc_masker.stack import Stack
from demo import shop

pytestmark = pytest.mark.stack

PROGRAM = Path(sys.executable).with_name("cdc-masker")


def test_a_connector_that_logs_whole_records_is_found(stack: Stack, unique: Callable[[str], str]) -> None:
    name = unique("doctor")
    shop.create(stack, name)
    ours = stack.environment(name) | {
        f"{PREFIX}{setting}": name for setting in ("CONNECTOR_NAME", "SOURCE_SERVER", "SOURCE_SLOT", "SOURCE_PUBLICATION")
    }
    loaded = load(**{key.removeprefix(PREFIX).lower(): value for key, value in ours.items()})
    Connector(loaded).apply(90)
    assert _errors(ours) == (0, [])
    Connector(loaded, {"errors.log.include.messages": "true"}).apply(90)
    assert _errors(ours) == (1, ["connector: errors.log.include.messages"])


def _errors(settings: dict[str, str]) -> tuple[int, list[str]]:
    done = subprocess.run(
        [PROGRAM, "doctor", "--json"], env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    return done.returncode, [finding["place"] for finding in json.loads(done.stdout) if finding["severity"] == "error"]
