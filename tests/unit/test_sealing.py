"""Seals of policy versions, and signatures of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.errors import KeyringError, UnverifiedError
from cdc_masker.keys.signing import new_signing_key, signed
from cdc_masker.policies import EnvelopeShape, Policy, Rule, TableDefault
from cdc_masker.sealing import START, Link, Release, Signature, check_link, check_signature, public_key, seal, signed_message

RULES = (
    Rule(schema="crm", table="people", column="name", method="redact", reason='a "real" name', ticket="T-1"),
    Rule(schema="*", table="*", column="email", method="redact", pattern=True, path="$.a"),
    Rule(server="shop", schema="crm", table="people", column="é\n", method="keep", reason="because"),
)
TABLES = (TableDefault(server="shop", schema="crm", table="people", default="drop", reason="why", ticket="T-2"),)
ENVELOPES = (EnvelopeShape(topic="t", shape="flattened", ticket="T-3"),)
WHEN = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def release(version: int = 1, before: str = "", **changes: Any) -> Release:
    policy = Policy.of(version, rules=RULES, tables=TABLES, envelopes=ENVELOPES)
    made = Release(
        policy=policy,
        digest=policy.digest,
        seal="",
        parent=version - 1 or None,
        revision="r1",
        heads=("r1", "r2"),
        reason="Mask the people",
        weaker_reason=None,
        created_at=WHEN,
        created_by="ann",
    )
    made = replace(made, **changes)
    return replace(made, seal=seal(made, before))


def test_a_seal_is_made_of_what_the_page_says() -> None:
    made = release(2, "sha256:00")
    text = (
        '["cdc-masker policy seal 1","sha256:00","2","' + made.digest + r'","r1","[\"r1\",\"r2\"]","Mask the people",null,'
        r'"1767323045000006","ann",'
        r'"false","*","crm","people","name","","a \"real\" name","T-1",'
        r'"false","shop","crm","people","é\n","","because",null,'
        r'"true","*","*","*","email","$.a",null,null,'
        r'"shop","crm","people","why","T-2",'
        r'"t",null,"T-3"]'
    )
    assert made.seal == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_versions_make_a_chain() -> None:
    first = check_link(release(), START)
    assert check_link(release(2, first.seal), first).version == 2


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "r2"},
        {"heads": ("r1",)},
        {"heads": ("r2", "r1")},
        {"reason": ""},
        {"weaker_reason": ""},
        {"created_at": WHEN + timedelta(microseconds=1)},
        {"created_by": "bob"},
        {"digest": "sha256:00"},
        {"parent": 1},
        {"seal": "sha256:00"},
        {"policy": Policy.of(1, rules=RULES[1:], tables=TABLES, envelopes=ENVELOPES)},
        *(
            {"policy": Policy.of(1, rules=rules, tables=tables, envelopes=envelopes)}
            for rules, tables, envelopes in (
                ([msgspec.structs.replace(RULES[0], reason="another"), *RULES[1:]], TABLES, ENVELOPES),
                ([msgspec.structs.replace(RULES[0], ticket=None), *RULES[1:]], TABLES, ENVELOPES),
                (RULES, [msgspec.structs.replace(TABLES[0], reason="another")], ENVELOPES),
                (RULES, [msgspec.structs.replace(TABLES[0], ticket=None)], ENVELOPES),
                (RULES, TABLES, [msgspec.structs.replace(ENVELOPES[0], reason="another")]),
                (RULES, TABLES, [msgspec.structs.replace(ENVELOPES[0], ticket=None)]),
            )
        ),
        {"policy": Policy.of(2, rules=RULES, tables=TABLES, envelopes=ENVELOPES)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_nothing_of_a_version_can_be_changed_unnoticed(change: dict[str, Any]) -> None:
    with pytest.raises(UnverifiedError, match="version 1"):
        check_link(replace(release(), **change), START)


def test_a_version_that_is_missing_is_named() -> None:
    with pytest.raises(UnverifiedError, match="version 2: is missing"):
        check_link(release(3, "sha256:00"), Link(1, "sha256:00"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(st.lists(st.tuples(TEXTS, TEXTS | st.none(), TEXTS | st.none()), min_size=2, max_size=2, unique=True))
def test_no_two_versions_share_a_seal(reasons: list[tuple[str, str | None, str | None]]) -> None:
    made = []
    for reason, weaker, ticket in reasons:
        rule = Rule(schema="s", table="t", column="c", method="redact", ticket=ticket)
        made.append(release(reason=reason, weaker_reason=weaker, policy=Policy.of(1, rules=[rule])).seal)
    assert made[0] != made[1]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(max_codepoint=127)))
def test_what_is_sealed_is_canonical_json(some: str, ascii_only: str) -> None:
    texts = ["cdc-masker policy signature 1", some + ascii_only, "1767323045000006"]
    assert signed_message(some + ascii_only, WHEN) == rfc8785.dumps(texts)


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
SIGNATURE = Signature(1, PUBLIC, WHEN, KEY.sign(signed_message("sha256:00", WHEN)))


def test_a_signature_is_over_seal_and_time() -> None:
    assert signed_message("sha256:00", WHEN) == b'["cdc-masker policy signature 1","sha256:00","1767323045000006"]'
    check_signature(SIGNATURE, "sha256:00")


@pytest.mark.parametrize(
    ("change", "sealed"),
    [
        ({}, "sha256:01"),
        ({"signed_at": WHEN + timedelta(microseconds=1)}, "sha256:00"),
        ({"key": Ed25519PrivateKey.generate().public_key().public_bytes_raw()}, "sha256:00"),
        ({"key": b""}, "sha256:00"),
        ({"signature": bytes(64)}, "sha256:00"),
        ({"signature": b""}, "sha256:00"),
    ],
)
def test_a_signature_of_anything_else_is_refused(change: dict[str, Any], sealed: str) -> None:
    with pytest.raises(UnverifiedError, match="version 1: a signature in the name of key"):
        check_signature(SIGNATURE._replace(**change), sealed)


def test_a_pair_of_keys_signs(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    public = new_signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    known, signature = signed(path, signed_message("sha256:00", WHEN))
    assert public_key(public.read_bytes()) == known
    check_signature(Signature(1, known, WHEN, signature), "sha256:00")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    new_signing_key(path)
    before = path.read_bytes()
    for there in (path, tmp_path / "signing.pem.pub"):
        for gone in (path, tmp_path / "signing.pem.pub"):
            gone.unlink(missing_ok=True)
        there.write_bytes(before)
        with pytest.raises(KeyringError, match="is there already"):
            new_signing_key(path)
        assert [each.read_bytes() for each in tmp_path.iterdir()] == [before]


def pem(key: Any, password: bytes | None = None) -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    content: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    return content


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (pem(KEY), 0o640, "chmod 600"),
        (pem(KEY, b"secret"), 0o600, "without a password"),
        (pem(ec.generate_private_key(ec.SECP256R1())), 0o600, "holds no Ed25519 private key"),
        (b"canary", 0o600, "holds no Ed25519 private key"),
    ],
    ids=["others may read it", "it has a password", "it is of another kind", "it is none"],
)
def test_a_key_that_cannot_sign_is_refused(tmp_path: Path, content: bytes, mode: int, message: str) -> None:
    path = tmp_path / "signing.pem"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(KeyringError, match=message) as refused:
        signed(path, b"message")
    assert "canary" not in str(refused.value)


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="policy keygen"):
        signed(tmp_path / "none", b"message")
    with pytest.raises(KeyringError, match="choose another place"):
        new_signing_key(tmp_path / "nowhere" / "key")


def test_only_an_ed25519_key_is_a_public_key() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert public_key(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)) is None
    assert public_key(b"") is None
    assert public_key(pem(KEY)) is None
    assert public_key(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)) == PUBLIC
