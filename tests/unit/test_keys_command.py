"""`cdc-masker keys` as a user runs it: what it changes, what it refuses, and that it never shows a key."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cdc_masker.cli import app
from cdc_masker.errors import CdcMaskerError, KeyringError, SetupError
from cdc_masker.keys import FileKeys, Keyring, RootKey, needed, write
from cdc_masker.policies import EMPTY, Domain, Policy
from cdc_masker.ports import Receipt
from cdc_masker.settings import Settings
from cdc_masker.testing import MemoryGenerations, MemoryPolicies, MemoryReceipts, MemorySubjects
from tests.unit.building import rule
from tests.unit.test_key_secrecy import showing

ROOTS = [bytes(range(epoch, epoch + 32)) for epoch in range(4)]
RULES = [rule("email", "tokenize", domain="email")]
WHOM = [Domain(name="whom", per_subject=True)]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("CDC_MASKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@dataclass
class Catalog:
    policies: MemoryPolicies = field(default_factory=MemoryPolicies)
    generations: MemoryGenerations = field(default_factory=MemoryGenerations)
    receipts: MemoryReceipts = field(default_factory=MemoryReceipts)
    erasures: MemorySubjects = field(default_factory=MemorySubjects)


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog in memory, which the settings seem to name."""
    catalog = Catalog()

    @asynccontextmanager
    async def open_catalog(settings: Settings) -> AsyncIterator[Catalog]:
        assert settings.database_url
        yield catalog

    monkeypatch.setattr("cdc_masker.catalog.open_catalog", open_catalog)
    monkeypatch.setenv("CDC_MASKER_DATABASE_URL", "postgresql://catalog")
    return catalog


def keys_file(*epochs: int) -> Path:
    path = Path("keys.json")
    write(Keyring.of(RootKey(f"k{epoch}", epoch, ROOTS[epoch]) for epoch in epochs), path)
    return path


def run(*arguments: str, answer: str = "") -> Result:
    """Runs the command; whatever it prints, and wherever, no key is in it."""
    result = CliRunner().invoke(app, ["keys", *arguments], input=answer)
    told = result.output + repr(result.exception)
    assert showing(told, *ROOTS) == []
    assert result.exception is None or isinstance(result.exception, CdcMaskerError | SystemExit), result.exception
    return result


def refusal(*arguments: str, answer: str = "") -> str:
    result = run(*arguments, answer=answer)
    assert isinstance(result.exception, CdcMaskerError), result.output
    return str(result.exception)


def document(policy: Policy, name: str = "policy.json") -> str:
    Path(name).write_text(json.dumps(policy.export()))
    return name


def test_list_tells_ids_epochs_and_kinds() -> None:
    keys_file(1, 2)
    assert run("list", "keys.json").stdout == "epoch 1: k1, root\nepoch 2: k2, root\n"
    run("derive", "bundle.json", "--keys", "keys.json", "--policy", document(Policy.of(1, rules=RULES)))
    assert run("list", "bundle.json").stdout == f"epoch 1: k1, {len(needed(Policy.of(1, rules=RULES)))} derived keys\n"
    (listed,) = json.loads(run("list", "bundle.json", "--json").stdout)
    assert {(each["method"], each["domain"]) for each in listed.pop("derived")} == {
        (purpose.method, purpose.domain) for purpose in needed(Policy.of(1, rules=RULES))
    }
    assert listed == {"epoch": 1, "id": "k1", "kind": "derived"}


def test_list_takes_the_keys_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    keys_file(1)
    monkeypatch.setenv("CDC_MASKER_KEY_COMMAND", "cat keys.json")
    assert json.loads(run("list", "--json").stdout) == [{"epoch": 1, "id": "k1", "kind": "root"}]


def test_rotate_adds_the_next_epoch_and_keeps_the_others() -> None:
    path = keys_file(1, 3)
    assert "epoch 4; used once a policy revision says op.use_key_epoch(4)" in run("rotate", "keys.json").stderr
    ring = FileKeys(path).load()
    assert list(ring.ids()) == [1, 3, 4]
    assert ring.derive("m", "d", 3) == Keyring.of([RootKey("k3", 3, ROOTS[3])]).derive("m", "d", 3)
    run("rotate", "keys.json")
    assert list(FileKeys(path).load().ids()) == [1, 3, 4, 5]


def test_a_bundle_is_not_rotated() -> None:
    keys_file(1)
    run("derive", "bundle.json", "--keys", "keys.json", "--policy", document(EMPTY))
    assert "bundle" in refusal("rotate", "bundle.json")


def test_derive_makes_a_bundle_for_all_policies_that_are_named() -> None:
    keys_file(1, 2)
    one, two = Policy.of(1, rules=RULES), Policy.of(2, rules=RULES, key_epoch=2)
    result = run(
        "derive", "bundle.json", "--keys", "keys.json", "--policy", document(one), "--policy", document(two, "two.json")
    )
    assert "derived keys of epoch 1, epoch 2" in result.stderr
    bundle = FileKeys(Path("bundle.json")).load()
    for purpose in needed(one) | needed(two):
        bundle.derive(purpose.method, purpose.domain, purpose.epoch)
    assert showing(Path("bundle.json").read_bytes(), *ROOTS) == []


def test_derive_takes_what_is_in_force_for_the_workers_of_all_live_generations(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDC_MASKER_KEYS_FILE", str(keys_file(1, 2)))
    old, new = Policy.of(1, rules=RULES), Policy.of(2, rules=RULES, key_epoch=2)
    catalog.policies.release(old)
    catalog.policies.release(new)
    run("derive", "new.json")
    assert list(FileKeys(Path("new.json")).load().ids()) == [2]
    live(catalog, 1, old)
    run("derive", "both.json")
    assert list(FileKeys(Path("both.json")).load().ids()) == [1, 2]


def live(catalog: Catalog, number: int, policy: Policy) -> None:
    asyncio.run(catalog.generations.register(number, ["shop.crm.people"], policy))


def test_derive_overwrites_nothing() -> None:
    before = keys_file(1).read_bytes()
    assert "never overwritten" in refusal("derive", "keys.json", "--keys", "keys.json", "--policy", document(EMPTY))
    assert Path("keys.json").read_bytes() == before


def test_derive_refuses_a_policy_whose_epoch_has_no_key() -> None:
    keys_file(1)
    told = refusal("derive", "bundle.json", "--keys", "keys.json", "--policy", document(Policy.of(1, key_epoch=2)))
    assert "no key of epoch 2" in told
    assert not Path("bundle.json").exists()


def test_destroy_asks_for_the_id_and_then_destroys() -> None:
    path = keys_file(1, 2)
    assert "nothing was done" in refusal("destroy", "keys.json", "1", "--reason", "a test", answer="k2\n")
    assert list(FileKeys(path).load().ids()) == [1, 2]
    result = run("destroy", "keys.json", "1", "--reason", "a test", answer="k1\n")
    assert "Type k1 to destroy this key for ever" in result.stderr
    assert "no catalog is set" in result.stderr
    assert "delete it from copies, backups and bundles, too" in result.stderr
    assert list(FileKeys(path).load().ids()) == [2]
    assert showing(path.read_bytes(), ROOTS[1]) == []


def test_destroy_without_anybody_to_ask_does_nothing() -> None:
    path = keys_file(1, 2)
    assert run("destroy", "keys.json", "1", "--reason", "a test").exit_code == 1
    assert list(FileKeys(path).load().ids()) == [1, 2]


@pytest.mark.parametrize(("epoch", "told"), [("2", "is the newest"), ("3", "no key of epoch 3")])
def test_destroy_refuses_the_newest_epoch_and_one_that_is_not_there(epoch: str, told: str) -> None:
    path = keys_file(1, 2)
    assert told in refusal("destroy", "keys.json", epoch, "--reason", "a test", "--yes")
    assert list(FileKeys(path).load().ids()) == [1, 2]


def test_destroy_refuses_an_epoch_that_is_in_use(catalog: Catalog) -> None:
    path = keys_file(1, 2)
    old = Policy.of(4, rules=RULES)
    catalog.policies.release(old)
    assert "policy version 4, which is in force, uses keys of epoch 1" in refusal(
        "destroy", "keys.json", "1", "--reason", "a test", "--yes"
    )
    live(catalog, 1, old)
    catalog.policies.release(Policy.of(5, rules=RULES, key_epoch=2))
    assert "generation 1 of topic shop.crm.people is live and uses keys of epoch 1; retire it first" in refusal(
        "destroy", "keys.json", "1", "--reason", "a test", "--yes"
    )
    assert list(FileKeys(path).load().ids()) == [1, 2]


def receipts(catalog: Catalog) -> list[Receipt]:
    return asyncio.run(catalog.receipts.newest(10))


def test_destroy_keeps_what_the_policy_in_force_needs_and_leaves_a_receipt(catalog: Catalog) -> None:
    path = keys_file(1, 2)
    policy = Policy.of(5, rules=RULES, domains=WHOM, key_epoch=2)
    catalog.policies.release(policy)
    before = FileKeys(path).load()
    assert run("destroy", "keys.json", "1", "--reason", "the first generation is gone", "--yes").stderr.startswith(
        "receipt 1\n"
    )
    (receipt,) = receipts(catalog)
    assert (receipt.kind, receipt.about, receipt.reason) == ("destroy", "k1", "the first generation is gone")
    assert receipt.detail == {"epoch": 1}
    ring = FileKeys(path).load()
    kept = [purpose for purpose in needed(policy) if purpose.epoch == 1]
    assert kept
    for purpose in kept:
        assert ring.derive(purpose.method, purpose.domain, 1) == before.derive(purpose.method, purpose.domain, 1)
    with pytest.raises(KeyringError, match="the bundle lacks"):
        ring.derive("tokenize", "email", 1)
    assert showing(path.read_bytes(), ROOTS[1]) == []
    run("rotate", "keys.json")
    assert list(FileKeys(path).load().ids()) == [1, 2, 3]


def test_destroy_keeps_what_a_live_generation_needs(catalog: Catalog) -> None:
    path = keys_file(1, 2, 3)
    old = Policy.of(5, rules=RULES, domains=WHOM, key_epoch=2)
    catalog.policies.release(old)
    live(catalog, 2, old)
    catalog.policies.release(Policy.of(6, rules=RULES, key_epoch=3))
    run("destroy", "keys.json", "1", "--reason", "a test", "--yes")
    ring = FileKeys(path).load()
    for purpose in needed(old):
        ring.derive(purpose.method, purpose.domain, purpose.epoch)


def test_destroy_without_a_receipt_does_not_happen(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keys_file(1, 2)
    catalog.policies.release(Policy.of(5, rules=RULES, key_epoch=2))

    async def refuse(*arguments: object) -> int:
        raise SetupError("this login may not")

    monkeypatch.setattr(catalog.receipts, "write", refuse)
    assert "this login may not" in refusal("destroy", "keys.json", "1", "--reason", "a test", "--yes")
    assert list(FileKeys(path).load().ids()) == [1, 2]


def test_nobody_is_asked_about_a_key_that_stays(catalog: Catalog) -> None:
    keys_file(1, 2)
    assert "which is in force" in refusal("destroy", "keys.json", "1", "--reason", "a test", answer="k1\n")
    assert receipts(catalog) == []
