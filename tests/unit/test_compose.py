"""docker-compose.yml and Dockerfile can't be run where the tests run.

The first is held to the specification and to the settings class, the second to what has to be in the image.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cdc_masker.settings import PREFIX, Settings, load

ROOT = Path(__file__).parents[2]
PASSWORDS = {"POSTGRES_PASSWORD": "one", "MASKER_PASSWORD": "two", "SOURCE_PASSWORD": "three"}


def _interpolated(text: str) -> str:
    """What Compose makes of `${NAME:?}` and `$$`; any other form is an error here."""
    text = re.sub(r"(?<!\$)\$\{(\w+):\?\}", lambda place: PASSWORDS[place[1]], text)
    assert not re.search(r"(?<!\$)\$(?!\$)(\{|\w)", text.replace("$$", ""))
    return text.replace("$$", "$")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(_interpolated((ROOT / "docker-compose.yml").read_text()))
    return document


def _stages() -> dict[str, tuple[str, str]]:
    """By name, what each stage of the Dockerfile begins with, and its lines; the last is the image."""
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?\n((?:(?!FROM ).*\n)*)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return {name or "image": (base, lines) for base, name, lines in stages}


def _found(pattern: str, text: str) -> re.Match[str]:
    """Where it stands in a stage."""
    found = re.search(pattern, text, re.MULTILINE)
    assert found, pattern
    return found


def _environments(compose: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Each service's settings of cdc-masker, where it has some."""
    found = {
        name: {
            variable: str(value) for variable, value in service.get("environment", {}).items() if variable.startswith(PREFIX)
        }
        for name, service in compose["services"].items()
    }
    return {name: environment for name, environment in found.items() if environment}


def test_it_keeps_to_the_compose_specification(compose: dict[str, Any]) -> None:
    # Read as a file: the package itself can't be imported beside the click that Faust needs.
    package = importlib.metadata.distribution("check-jsonschema")
    vendored = package.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(vendored)).read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose)] == []
    assert list(validator.iter_errors({**compose, "services": {"worker": {"imag": "x"}}})), "the schema refuses nothing"


def test_every_setting_in_it_exists(compose: dict[str, Any]) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for service, environment in _environments(compose).items():
        assert environment.keys() <= known, service


def test_every_environment_makes_settings(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    made = {}
    for service, environment in _environments(compose).items():
        with monkeypatch.context() as patch:
            for variable, value in environment.items():
                patch.setenv(variable, value)
            made[service] = load()
    assert set(made) == {"migrate", "keys", "connector", "worker"}

    worker = made["worker"]
    assert worker.is_source("shop.crm.customers")
    assert not worker.is_source("shop.transaction")
    assert worker.keys_file == made["keys"].keys_file
    assert worker.database_url is not None
    assert worker.database_url.get_secret_value() == "postgresql://masker:two@postgres:5432/catalog"
    assert worker.kafka_brokers == compose["services"]["connect"]["environment"]["BOOTSTRAP_SERVERS"]
    assert f"127.0.0.1:{worker.web_port}/ready" in compose["services"]["worker"]["healthcheck"]["test"][-1]
    assert made["connector"].source_host in compose["services"]
    assert made["connector"].source_password == "${env:SOURCE_PASSWORD}"


def test_images_are_pinned_and_servers_have_health_checks(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if "build" in service:
            continue
        assert re.search(r":\d+\.\d+", service["image"]), name
        assert "healthcheck" in service, name
    stages = _stages()
    assert all(base in stages or re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base) for base, _ in stages.values())


def test_the_image_holds_the_compiled_core_and_no_compiler() -> None:
    stages = _stages()
    crate = tomllib.loads((ROOT / "native/Cargo.toml").read_text())["package"]
    assert crate["rust-version"] == "1.63", "the stage takes Debian bookworm's"
    (_, core), (before, build), (base, image) = stages["core"], stages["build"], stages["image"]
    built = _found(r"^RUN apt-get update && apt-get install .*\bcargo\n(?:.*\n)*COPY native native\n(?:.*\n)*", core)
    wheels = _found(r"^RUN \S+/maturin build --release --locked --manifest-path native/Cargo\.toml --out (\S+)$", built[0])[1]
    copied = _found(rf"^COPY --from=core {wheels} (\S+)\n(?:.*\n)*", build)
    home = _found(rf"^RUN (\S+)/bin/pip install --no-index --no-deps {copied[1]}/\*\.whl$", copied[0])[1]
    _found(rf"^COPY --from=build {home} {home}$", image)
    assert "core" not in (before, base), "the compiler would go along"
    assert base not in stages
    assert not re.search("apt-get|cargo|--from=core|CDC_MASKER_CORE", image)


def test_two_workers_start_after_the_jobs(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert worker["deploy"]["replicas"] == 2
    assert {condition["condition"] for condition in worker["depends_on"].values()} == {"service_completed_successfully"}
    assert worker["depends_on"].keys() == {"migrate", "keys", "connector"}


def test_nothing_is_published_beyond_this_machine(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_files_that_are_mounted_or_copied_exist(compose: dict[str, Any]) -> None:
    mounted = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    sources = [volume.split(":")[0] for volume in mounted if volume.startswith("./")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = sources + [name for line in copied for name in line.split()]
    assert [name for name in names if not (ROOT / name).exists()] == []
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for line in copied for name in line.split()} == kept
