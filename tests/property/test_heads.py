"""A checkpoint comes back as it was written, and nothing else comes back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker import heads, merkle, signednotes
from cdc_masker.heads import Chain, Head, Heads
from cdc_masker.signednotes import BadNote

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC, OTHER_PUBLIC = KEY.public_key().public_bytes_raw(), OTHER.public_key().public_bytes_raw()

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # line breaks and quotes of all kinds among them
CHAINS = st.builds(Chain, st.integers(1, 99), NAMES, st.integers(0, 999), NAMES)
HEADS = st.builds(Head, st.integers(-1, 2**63 - 1), NAMES)
ORIGINS = NAMES.filter(signednotes.can_be_key_name)
ALL = st.builds(Heads, ORIGINS, st.dictionaries(CHAINS, HEADS, max_size=6))

CHAIN = Chain(1, "shop.crm.customers", 0, "topic-id")
SOME = Heads("example.com/audit", {CHAIN: Head(41, "sha256:aa"), CHAIN._replace(partition=1): Head(7, "sha256:bb")})


def noted(what: Heads, key: Ed25519PrivateKey = KEY) -> bytes:
    return heads.write(what, key.public_key().public_bytes_raw(), key.sign(heads.text(what).encode()))


def signed(text: str, origin: str = SOME.origin) -> bytes:
    return signednotes.sign(text, origin, PUBLIC, KEY.sign(text.encode()))


def below(note: bytes, *more: bytes) -> bytes:
    """The note with more lines of signatures."""
    return note + b"".join(more)


def signature_line(note: bytes) -> bytes:
    return note.rpartition(b"\n\n")[2]


@given(ALL)
def test_what_is_written_is_read(made: Heads) -> None:
    assert heads.read(noted(made), [OTHER_PUBLIC, PUBLIC]) == made


@given(ALL, st.data())
def test_any_changed_byte_is_refused(made: Heads, data: st.DataObject) -> None:
    note = noted(made)
    place = data.draw(st.integers(0, len(note) - 1))
    changed = bytearray(note)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadNote):
        heads.read(bytes(changed), [PUBLIC])


def test_no_byte_can_be_another_one() -> None:
    """Not even the last one of the signature, some of whose bits base64 leaves unused."""
    note = noted(SOME)
    for place in range(len(note)):
        for byte in {*b"AQgwBRhx019+/= \n"} - {note[place]}:
            with pytest.raises(BadNote):
                heads.read(note[:place] + bytes([byte]) + note[place + 1 :], [PUBLIC])
    last = note.index(b"=\n", note.rindex(b"\n\n")) - 1
    for byte in {*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"} - {note[last]}:
        with pytest.raises(BadNote):
            heads.read(note[:last] + bytes([byte]) + note[last + 1 :], [PUBLIC])


@given(ALL, st.data())
def test_any_missing_or_added_byte_is_refused(made: Heads, data: st.DataObject) -> None:
    note = noted(made)
    place = data.draw(st.integers(0, len(note) - 1))
    for changed in (note[:place] + note[place + 1 :], note[:place] + b"A" + note[place:], note[:place]):
        with pytest.raises(BadNote):
            heads.read(changed, [PUBLIC])


def test_the_text_is_a_checkpoint() -> None:
    first = '[1,"shop.crm.customers",0,"topic-id",41,"sha256:aa"]'
    second = '[1,"shop.crm.customers",1,"topic-id",7,"sha256:bb"]'
    root = merkle.root([merkle.leaf_hash(first.encode()), merkle.leaf_hash(second.encode())])
    assert heads.text(SOME) == f"example.com/audit\n2\n{b64encode(root).decode()}\n{first}\n{second}\n"


def test_an_audit_without_entries_has_a_checkpoint() -> None:
    none = Heads("a", {})
    assert heads.text(none) == f"a\n0\n{b64encode(sha256().digest()).decode()}\n"
    assert heads.read(noted(none), [PUBLIC]) == none


def test_the_note_is_one_that_other_programs_read() -> None:
    """The example that the Go package golang.org/x/mod/sumdb/note gives, which made it by itself."""
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    note = signednotes.split(f"{text}\n\N{EM DASH} PeterNeumann {signature}\n".encode())
    signednotes.check(note, "PeterNeumann", [b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]])


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "a\N{NO-BREAK SPACE}b", "a\tb"])
def test_an_origin_that_is_no_name_of_a_key_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        heads.text(Heads(origin, {}))


def test_signatures_of_unknown_keys_say_nothing() -> None:
    mine, unknown = noted(SOME), signature_line(noted(SOME, OTHER))
    namesake = unknown.replace(b" example.com/audit ", b" another ")
    assert heads.read(below(mine, unknown, namesake), [PUBLIC]) == SOME
    with pytest.raises(BadNote, match="no key that is known"):
        heads.read(mine, [OTHER_PUBLIC])
    with pytest.raises(BadNote, match="no key that is known"):
        heads.read(mine, [])


def test_a_known_key_counts_under_the_origin_only() -> None:
    text = heads.text(SOME)
    with pytest.raises(BadNote, match="no key that is known"):
        heads.read(signed(text, "another"), [PUBLIC])


def test_a_signature_in_the_name_of_a_known_key_spoils_the_note() -> None:
    with pytest.raises(BadNote, match="somebody changed"):
        heads.read(below(noted(SOME), signature_line(signed("another text\n"))), [PUBLIC])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n2\n", "\n3\n"),
        lambda text: text.replace("\n2\n", "\n02\n"),
        lambda text: text.replace(",41,", ", 41,"),
        lambda text: text.replace(",41,", ",42,"),  # so the root is another one
        lambda text: text.replace('"sha256:aa"', "7"),
        lambda text: text + text.splitlines(keepends=True)[-1],
        lambda text: "".join([*(lines := text.splitlines(keepends=True))[:3], lines[4], lines[3]]),
        lambda text: text.splitlines(keepends=True)[0],
        lambda text: "example.com/audit\n",
        lambda text: text + "\n",
    ],
)
def test_what_is_signed_and_no_checkpoint_is_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(BadNote, match="no checkpoint"):
        heads.read(signed(change(heads.text(SOME))), [PUBLIC])


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\xff\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n\n\n",
        b"text\r\n\n" + signature_line(noted(SOME)),
        b"text\n\n" + signature_line(noted(SOME)) * 65,
        b"text\n\n" + signature_line(noted(SOME))[:-1],
        b"text\n\n- example.com/audit AAAAAAAA\n",
        "text\n\n\N{EM DASH} example.com/audit\n".encode(),
        "text\n\n\N{EM DASH} example.com/audit AAAAAA==\n".encode(),  # an id and nothing
        "text\n\n\N{EM DASH} example.com/audit AAAAAAA\n".encode(),
        "text\n\n\N{EM DASH} example.com/audit AAAAAAA\N{EM DASH}\n".encode(),
        "text\n\n\N{EM DASH} a+b AAAAAAAA\n".encode(),
        "text\n\n\N{EM DASH}  AAAAAAAA\n".encode(),
        "text\n\n\N{EM DASH} example.com/audit AAAAAAAA more\n".encode(),
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(note: bytes) -> None:
    with pytest.raises(BadNote):
        signednotes.split(note)
