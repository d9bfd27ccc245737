"""Which core masks, and that cdc-masker does without the compiled one."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError

import pytest

from cdc_masker import cores
from cdc_masker.errors import SetupError
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.methods.recipes import CardEnds, Ends, Hashed, Permuted, Start, Tokens
from cdc_masker.policies import EMPTY
from cdc_masker.settings import load
from cdc_masker.testing import MemoryPolicies
from tests.unit.building import KEYS


def _not_there(name: str) -> str:
    raise PackageNotFoundError(name)


def test_the_compiled_core_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [cores.is_compiled(core) for core in ("auto", "native", "python")] == [True, True, False]
    monkeypatch.setattr(cores, "version", _not_there)
    assert [cores.is_compiled(core) for core in ("auto", "python")] == [False, False]


def test_one_that_is_asked_for_and_not_there_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "version", _not_there)
    with pytest.raises(SetupError, match=r"not installed; install cdc-masker-native .*, or set CDC_MASKER_CORE=python"):
        cores.is_compiled("native")


@pytest.mark.parametrize("core", ["auto", "native"])
def test_one_of_another_version_is_refused(core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "version", lambda _: "0.0.9")
    with pytest.raises(SetupError, match=r"of version 0\.0\.9, and cdc-masker of"):
        cores.is_compiled(core)
    assert not cores.is_compiled("python")


@pytest.mark.parametrize(("core", "told"), [("auto", "compiled"), ("native", "compiled"), ("python", "Python")])
def test_the_worker_logs_which_core_masks_and_the_doctor_says_it(
    core: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CDC_MASKER_CORE", core)
    with caplog.at_level(logging.INFO):
        maskers = Maskers(load(), MemoryPolicies(EMPTY), KEYS, EMPTY)
    assert f"masking with the {told} core" in caplog.text
    assert (maskers.get(1 << 20, EMPTY)._native is not None) == (told == "compiled")

    async def nothing(_: object) -> list[object]:
        return []

    doctor = import_module("cdc_masker.cli.doctor")
    monkeypatch.setattr(doctor, "examine", nothing)
    doctor.doctor()
    assert f"mask with the {told} core" in capsys.readouterr().err


def test_nothing_but_its_adapter_needs_the_compiled_core() -> None:
    program = """
import sys
sys.modules["cdc_masker_native"] = None
import cdc_masker.cli, cdc_masker.kafka.maskers, cdc_masker.testing
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)


def test_no_recipe_shows_its_key() -> None:
    hashed = Hashed("text", b"canary key", b"head")
    recipes = [Tokens(hashed, Permuted(b"canary key", b"tweak", 64)), Ends(1, 2, "*"), Start(1), CardEnds(6, 4, "*")]
    assert "canary" not in repr(recipes)
