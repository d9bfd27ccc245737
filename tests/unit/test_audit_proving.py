"""A proof holds for the script in docs/audit.md, which knows nothing of cdc-masker, and no field of it can be another one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cdc_masker import heads
from cdc_masker.audit.proving import Unprovable, outcomes, prove
from cdc_masker.audit.records import Made, read_origin
from cdc_masker.events import Record
from cdc_masker.evidence import encode_entry, entry_hash
from cdc_masker.heads import Chain, Head, Heads
from tests.copies import World, documented_script


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the script is, as the docs have it, and the public key of whoever signed the checkpoint."""
    path = tmp_path_factory.mktemp("proof")
    text = documented_script()
    assert len(text.splitlines()) <= 40
    (path / "check_proof.py").write_text(text)
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (path / "key.pub").write_bytes(public)
    return path


KEY = Ed25519PrivateKey.generate()
WORLD = World.make()


def made() -> Iterator[Made]:
    for record in WORLD.masked:
        found = read_origin(record)
        assert found is not None
        yield found


def note(last: int) -> str:
    """A checkpoint that names that entry as the head of its chain, and has another chain."""
    entry = WORLD.entries[last]
    head = Head(entry.last_offset, entry_hash(encode_entry(entry)))
    told = Heads("example.com/audit", {WORLD.chain: head, Chain(1, "another", 0, "x"): Head(5, "sha256:00")})
    public = KEY.public_key().public_bytes_raw()
    return heads.write(told, public, KEY.sign(heads.text(told).encode())).decode()


def proof(offset: int = 15, number: int = 1, last: int = 3) -> dict[str, Any]:
    entry = WORLD.entries[number]
    found = prove(entry, outcomes(entry, made()), offset, WORLD.entries[number + 1 : last + 1], note(last))
    document: dict[str, Any] = json.loads(msgspec.json.encode(found))
    return document


def check(home: Path, document: dict[str, Any], *keys: str) -> str:
    """What the script says, which is one line: on its output with 0, or on its error output."""
    (home / "proof.json").write_text(json.dumps(document))
    command = [sys.executable, "-I", *(str(home / name) for name in ("check_proof.py", "proof.json", *keys))]
    done = subprocess.run(command, capture_output=True, text=True)
    (line,) = (done.stderr if done.returncode else done.stdout).splitlines()
    assert line.startswith("NOT PROVEN: " if done.returncode else "PROVEN: ")
    return line


def proven(offset: int, up_to: str) -> str:
    return f"PROVEN: topic 'shop.shop.customers', partition 0, offset {offset}, up to {up_to}"


@pytest.mark.parametrize("offset", range(10, 19))
def test_each_record_of_an_entry_is_proven(home: Path, offset: int) -> None:
    assert check(home, proof(offset), "key.pub") == proven(offset, "the checkpoint of example.com/audit")


def test_a_proof_holds_without_a_checkpoint_up_to_its_entry(home: Path) -> None:
    document = {**proof(), "later": [], "checkpoint": None}
    assert check(home, document) == proven(15, "its entry only")
    assert check(home, document, "key.pub") == "NOT PROVEN: it has no checkpoint"


def test_a_checkpoint_that_nobody_looked_at_proves_nothing(home: Path) -> None:
    unseen = "its entry only; nobody looked at the checkpoint"
    assert check(home, proof()) == proven(15, unseen)
    assert check(home, {**proof(), "checkpoint": "forged"}) == proven(15, unseen)


def test_a_checkpoint_of_another_signer_does_not_hold(home: Path) -> None:
    stranger = Ed25519PrivateKey.generate().public_key()
    (home / "other.pub").write_bytes(stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert check(home, proof(), "other.pub") == "NOT PROVEN: that this key signed the checkpoint"
    assert check(home, proof(), "none.pub").startswith("NOT PROVEN: it can't be read (FileNotFoundError: ")


def changed(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same proof with each field changed."""
    for name, value in document.items():
        if isinstance(value, list):
            for number, each in enumerate(value):
                yield name, {**document, name: [*value[:number], other(each), *value[number + 1 :]]}
            yield name, {**document, name: value[1:]}
            yield name, {**document, name: value[:-1]}
            yield name, {**document, name: [*value, value[-1]]}
        else:
            yield name, {**document, name: other(value)}
    yield "checkpoint", {**document, "checkpoint": document["checkpoint"].replace("example.com", "example.org")}
    signature = document["checkpoint"][-20:-4]
    yield "checkpoint", {**document, "checkpoint": document["checkpoint"].replace(signature, signature[::-1])}


def other(value: Any) -> Any:
    """Another value, that differs in little."""
    if isinstance(value, int):
        return value + 1
    half = len(value) // 2
    return value[:half] + ("A" if value[half] != "A" else "B") + value[half + 1 :]


def test_no_field_of_a_proof_can_be_another_one(home: Path) -> None:
    document = proof()
    assert {name for name, _ in changed(document)} == set(document)
    for name, tampered in changed(document):
        assert check(home, tampered, "key.pub").startswith("NOT PROVEN: "), name


def test_a_proof_of_another_record_does_not_hold(home: Path) -> None:
    mine, another = proof(15), proof(16)
    for name in ("leaf", "index", "path", "offset"):
        assert check(home, {**mine, name: another[name]}, "key.pub").startswith("NOT PROVEN: "), name


def test_records_that_were_changed_prove_nothing() -> None:
    entry = WORLD.entries[1]
    records = list(made())
    with pytest.raises(Unprovable, match=r"shop\.shop\.customers\[0\] offsets 10 to 19 are not those"):
        outcomes(entry, [one._replace(offset=one.offset + 1) for one in records])


def test_records_are_found_among_those_of_an_earlier_topic_with_the_same_offsets() -> None:
    entry = WORLD.entries[1]
    earlier = [one._replace(record=Record("x", 0, 0, 0, None, None)) for one in made()]
    assert outcomes(entry, [*earlier, *made()]) == outcomes(entry, made())
