"""Bundles: the keys that a policy needs, so that a worker masks as with the root, and nothing that leads to another one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.codecs.capture import decode_line, encode_outcome
from cdc_masker.engine import Engine
from cdc_masker.errors import KeyringError
from cdc_masker.kafka.maskers import Maskers
from cdc_masker.keys import FileKeys, Keyring, Purpose, RootKey, bundle, needed, write
from cdc_masker.lookup import Table
from cdc_masker.methods import METHODS
from cdc_masker.pipeline import Masker
from cdc_masker.policies import EMPTY, Domain, Policy
from cdc_masker.settings import load
from cdc_masker.subjects import derivations
from cdc_masker.testing import MemoryPolicies
from tests.golden.cases import CASES, Case
from tests.property.samples import KNOWN, SAMPLES, Sample
from tests.unit.building import rule
from tests.unit.columns import TYPES
from tests.unit.test_key_secrecy import showing

ROOTS = {epoch: bytes(range(epoch, epoch + 32)) for epoch in (1, 2)}
RING = Keyring.of(RootKey(f"k{epoch}", epoch, root) for epoch, root in ROOTS.items())
SHOP = Policy.from_document((CASES[0].capture.parent / "shop-policy.json").read_bytes())
TABLE = Table("shop", "crm", "people", "shop.crm.people")


def ruled(method: str, sample: Sample, **more: Any) -> Policy:
    """A policy that masks one column by this method, with these parameters."""
    made = rule("c", method, type=sample.stated, **sample.params)
    accepted = msgspec.structs.replace(made, allow_small_domain=METHODS[method].deterministic, reason="a test", **more)
    whom = Domain(name="dates", per_subject=True)
    return Policy.of(1, rules=[accepted], domains=[whom])


@pytest.mark.parametrize("method", METHODS)
def test_a_bundle_has_the_keys_of_a_method_whatever_the_type_of_the_column(method: str) -> None:
    for sample in SAMPLES[method]:
        policies = [ruled(method, sample), ruled(method, sample, column="*_c")]
        if not METHODS[method].needs_type:
            policies.append(ruled(method, sample, path="$.part", type=None))
        for policy in policies:
            engine = Engine(policy, bundle(RING, needed(policy, KNOWN)), KNOWN)
            for type_ in (None, *TYPES.values()):
                engine.compile(TABLE, (("c", type_), ("id", type_), ("that_c", type_)), frozenset({"id"}))


def test_a_bundle_has_the_keys_that_keep_those_of_subjects() -> None:
    policy = ruled("date_shift", SAMPLES["date_shift"][0])
    ring = bundle(RING, needed(policy))
    for method, domain, epoch in derivations(policy):
        assert ring.derive(method, domain, epoch) == RING.derive(method, domain, epoch)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_worker_with_a_bundle_masks_as_one_with_the_root(case: Case) -> None:
    policy = SHOP if case.with_policy else EMPTY
    maskers = Masker(policy, RING), Masker(policy, bundle(RING, needed(policy)))
    lines = case.capture.read_bytes().splitlines()
    one, other = ([encode_outcome(masker.mask(decode_line(line))) for line in lines] for masker in maskers)
    assert one == other


def test_a_bundle_is_of_the_epochs_that_its_policies_use() -> None:
    policy = Policy.of(2, rules=SHOP.rules, domains=SHOP.domains, key_epoch=2)
    ring = bundle(RING, needed(policy))
    assert ring.ids() == {2: "k2"}
    assert bundle(RING, needed(policy) | needed(SHOP)).ids() == {1: "k1", 2: "k2"}
    assert needed(policy) == {purpose._replace(epoch=2) for purpose in needed(SHOP)}


def test_what_a_bundle_lacks_is_named_with_the_command_that_makes_it() -> None:
    ring = bundle(RING, [Purpose(1, "tokenize", "email")])
    for purpose in (("tokenize", "phone", 1), ("encrypt", "email", 1)):
        with pytest.raises(KeyringError) as caught:
            ring.derive(*purpose)
        message = str(caught.value)
        assert all(repr(part) in message for part in purpose)
        assert "cdc-masker keys derive" in message
    with pytest.raises(KeyringError, match="no key of epoch 2"):
        ring.derive("tokenize", "email", 2)


_names = st.text(max_size=6)


@given(
    st.sets(st.builds(Purpose, st.integers(1, 2), _names, _names), max_size=8),
    st.builds(Purpose, st.integers(1, 3), _names, _names),
)
def test_a_bundle_derives_what_it_was_made_for_and_nothing_else(purposes: set[Purpose], other: Purpose) -> None:
    ring = bundle(RING, purposes)
    for purpose in purposes:
        assert ring.derive(purpose.method, purpose.domain, purpose.epoch) == RING.derive(
            purpose.method, purpose.domain, purpose.epoch
        )
    if other not in purposes:
        with pytest.raises(KeyringError):
            ring.derive(other.method, other.domain, other.epoch)


def test_no_root_is_in_a_bundle_nor_in_its_file(tmp_path: Path) -> None:
    ring = bundle(RING, needed(SHOP))
    write(ring, tmp_path / "bundle.json")
    content = (tmp_path / "bundle.json").read_bytes()
    assert not any(isinstance(key, RootKey) for key in FileKeys(tmp_path / "bundle.json").load().keys)
    assert showing(content, *ROOTS.values()) == []
    assert {secret.reveal() for key in ring.keys for secret in key.secrets()}.isdisjoint(ROOTS.values())


def test_a_bundle_of_a_bundle_needs_the_keys_in_it() -> None:
    ring = bundle(RING, [Purpose(1, "tokenize", "email"), Purpose(1, "tokenize", "phone")])
    assert bundle(ring, [Purpose(1, "tokenize", "email")]).derive("tokenize", "email", 1) == RING.derive("tokenize", "email", 1)
    with pytest.raises(KeyringError, match="lacks the key of method 'encrypt'"):
        bundle(ring, [Purpose(1, "encrypt", "email")])


async def test_a_worker_whose_bundle_lacks_a_key_of_a_new_version_goes_on_under_the_old_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = Policy.of(1, rules=[rule("email", "tokenize", domain="email")])
    new = Policy.of(2, rules=[*old.rules, rule("phone", "tokenize", domain="phone")])
    policies = MemoryPolicies(old)
    maskers = Maskers(load(), policies, bundle(RING, needed(old)), old)
    policies.release(new)
    with caplog.at_level(logging.ERROR):
        await maskers.refresh()
    assert maskers.policy == old
    assert "lacks the key of method 'tokenize" in caplog.text
    assert "masking goes on under policy version 1" in caplog.text
    policies.release(Policy.of(3, rules=[rule("mail", "tokenize", domain="email")]))
    await maskers.refresh()
    assert maskers.policy.version == 3
