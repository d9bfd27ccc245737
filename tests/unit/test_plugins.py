"""Masking methods of other distributions: those that somebody names, each checked before it masks anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from cdc_masker import plugins
from cdc_masker.engine import check
from cdc_masker.errors import PolicyError, SetupError
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.methods import METHODS, Method
from cdc_masker.policies import Policy
from cdc_masker.settings import load
from cdc_masker.testing import MemoryPolicies
from tests.unit.building import KEYS, rule

PROGRAM = Path(sys.executable).parent / "cdc-masker"
STARS = '''
    from typing import ClassVar
    from cdc_masker.kinds import Kind
    from cdc_masker.methods import Column, Compute, Disclosure, Keys, Method, Transform, Uniqueness

    class Stars(Method, frozen=True):
        """As many stars as there are characters, or `most`."""

        name: ClassVar[str] = "stars"
        kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
        output: ClassVar[str] = "text"
        deterministic: ClassVar[bool] = True
        reversible: ClassVar[bool] = False
        length_preserving: ClassVar[bool] = False
        uniqueness: ClassVar[Uniqueness] = Uniqueness.LOSSY
        discloses: ClassVar[frozenset[Disclosure]] = frozenset({Disclosure.NULLS, Disclosure.LENGTH})
        needs_type: ClassVar[bool] = False
        most: int = 8

        def compile(self, column: Column, keys: Keys) -> Transform:
            keys.derive(self.name, column.domain, column.epoch)
            return Compute(lambda value: "*" * min(len(value), self.most), column.type)
'''


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("CDC_MASKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class Site:
    """A directory on the path in which distributions are installed, of modules whose names no other test has."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self._monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(str(directory))

    def install(self, distribution: str, code: str, entry_points: str) -> None:
        module = f"{self.directory.parent.name}_{distribution}".replace("-", "_")
        self._monkeypatch.delitem(sys.modules, module, raising=False)
        (self.directory / f"{module}.py").write_text(dedent(code))
        information = self.directory / f"{distribution}-1.2.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (information / "entry_points.txt").write_text(f"[cdc_masker.methods]\n{entry_points.format(module=module)}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    (tmp_path / "site").mkdir()
    return Site(tmp_path / "site", monkeypatch)


def refusal(names: str) -> str:
    with pytest.raises(SetupError) as caught:
        plugins.methods(load(methods=names))
    assert caught.value.__context__ is None
    return str(caught.value)


def test_without_the_setting_there_are_our_methods_and_nothing_is_imported(site: Site) -> None:
    site.install("acme", "raise SystemExit('imported')", "stars = {module}:Stars")
    assert plugins.methods(load()) == METHODS


def test_a_named_method_is_loaded_and_no_other(site: Site) -> None:
    site.install("acme", STARS, "stars = {module}:Stars")
    site.install("other", "raise SystemExit('imported')", "other = {module}:Other")
    known = plugins.methods(load(methods=" stars ,"))
    assert known.keys() - METHODS.keys() == {"stars"}
    check(Policy.of(1, rules=[rule("name", "stars", most=3)]), known)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("stars,stripes", "CDC_MASKER_METHODS names 'stripes': no installed distribution has an entry point of that name"),
        ("stars,stars", "CDC_MASKER_METHODS names 'stars': there is a method of that name already"),
        ("tokenize", "CDC_MASKER_METHODS names 'tokenize': there is a method of that name already"),
    ],
)
def test_a_name_that_says_nothing_or_too_much_is_refused(site: Site, names: str, told: str) -> None:
    site.install("acme", STARS, "stars = {module}:Stars\ntokenize = {module}:Stars")
    assert told in refusal(names)


def test_a_method_that_two_distributions_offer_is_refused(site: Site) -> None:
    site.install("acme", STARS, "stars = {module}:Stars")
    site.install("other", STARS, "stars = {module}:Stars")
    assert "'stars': more than one distribution offers it: " in (told := refusal("stars"))
    assert "acme 1.2" in told
    assert "other 1.2" in told


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import no_such_module_anywhere", "can't be loaded (ModuleNotFoundError"),
        ("raise ValueError('canary-8c1f2e')", "can't be loaded (ValueError at "),
        ("Other = 1", "can't be loaded (AttributeError"),
        ("class Stars: pass", "is no subclass of cdc_masker.methods.Method"),
        ("Stars = 'canary-8c1f2e'", "is no subclass of cdc_masker.methods.Method"),
        ("from cdc_masker.methods import Method as Stars", "is no subclass of cdc_masker.methods.Method"),
        (STARS.replace('"stars"', '"stripes"'), "calls itself 'stripes'"),
        (STARS.replace("def compile", "def compiles"), "has no compile()"),
        (STARS.replace("frozen=True", "frozen=True, forbid_unknown_fields=False"), "forbid unknown fields"),
        (STARS.replace("frozenset({Kind.TEXT})", "frozenset({'text'})"), "no trait 'kinds', or not as"),
        (STARS.replace("frozenset({Kind.TEXT})", "{Kind.TEXT}"), "no trait 'kinds', or not as"),
        (STARS.replace("Uniqueness.LOSSY", "'lossy'"), "no trait 'uniqueness', or not as"),
        (
            STARS.replace("deterministic: ClassVar[bool] = True", "deterministic: ClassVar[bool] = 1"),
            "no trait 'deterministic'",
        ),
        *(
            ("\n".join(line for line in STARS.splitlines() if f" {trait}: ClassVar" not in line), f"states no trait {trait!r}")
            for trait in plugins._TRAITS
        ),
    ],
)
def test_what_is_no_whole_method_is_refused_by_name(site: Site, code: str, told: str) -> None:
    site.install("acme", code, "stars = {module}:Stars")
    message = refusal("stars")
    assert message.startswith("CDC_MASKER_METHODS names 'stars': ")
    assert ":Stars of acme 1.2 " in message
    assert told in message
    assert "canary" not in message


def test_every_trait_is_asked_for() -> None:
    stated = {name for name, hint in Method.__annotations__.items() if "ClassVar" in str(hint)}
    assert set(plugins._TRAITS) == stated


def test_a_trait_may_be_stated_by_a_base_of_the_distribution(site: Site) -> None:
    site.install(
        "acme",
        STARS + "\n    class Other(Stars, frozen=True):\n        name: ClassVar[str] = 'other'\n",
        "other = {module}:Other",
    )
    assert "other" in plugins.methods(load(methods="other"))


def test_the_installed_program_masks_with_a_method_of_another_distribution(site: Site, tmp_path: Path) -> None:
    site.install("acme", STARS, "stars = {module}:Stars")
    (tmp_path / "policy.json").write_text(
        json.dumps(
            {"rules": [{"schema": "crm", "table": "people", "column": "name", "method": "stars", "params": {"most": 3}}]}
        )
    )
    event = {"before": None, "after": {"name": "Ada Lovelace"}, "source": {"name": "shop", "schema": "crm", "table": "people"}}
    line = {"topic": "shop.crm.people", "partition": 0, "offset": 1, "timestamp": 2, "headers": [], "key": None}
    line["value"] = json.dumps({**event, "op": "c", "ts_ms": 3}, separators=(",", ":"))

    def mask(**settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site.directory), **settings}
        command = [str(PROGRAM), "mask", "--policy", "policy.json"]
        return subprocess.run(
            command, input=json.dumps(line) + "\n", env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    masked = mask(CDC_MASKER_METHODS="stars")
    assert masked.returncode == 0, masked.stderr
    assert json.loads(json.loads(masked.stdout)["value"])["after"] == {"name": "***"}
    refused = mask()
    assert refused.returncode == 2
    assert "there is no method 'stars'" in refused.stderr


def test_a_worker_masks_with_the_methods_of_its_settings(site: Site) -> None:
    site.install("acme", STARS, "stars = {module}:Stars")
    policy = Policy.of(1, rules=[rule("name", "stars")])
    assert Maskers(load(methods="stars"), MemoryPolicies(), KEYS, policy).policy == policy
    with pytest.raises(PolicyError, match="there is no method 'stars'"):
        Maskers(load(), MemoryPolicies(), KEYS, policy)
