"""What columns are taken for, by name, comment, type and sample, and that evidence quotes none of their values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_masker.drafting.names import BySchema
from cdc_masker.drafting.proposals import draft
from cdc_masker.drafting.tables import ColumnName
from cdc_masker.drafting.values import ByValues
from cdc_masker.policies import EMPTY
from tests.unit.sources import column, source, table

TABLE = table("t", column("a"))


def label(name: str, type_: str = "text", comment: str | None = None) -> str | None:
    found = BySchema().classify(TABLE, column(name, type_, comment=comment), ())
    return None if found is None else found.label or found.evidence


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, "email") for name in ("email", "EMAIL", "e_mail", "emailAddress", "billing_email", "Courriel", "work-mail")),
        *(
            (name, "name")
            for name in ("first_name", "lastName", "FNAME", "Vorname", "prénom", "nachname", "Apellidos", "surname")
        ),
        *((name, "phone") for name in ("phone", "mobile_phone", "Telefonnummer", "telefóno", "fax1", "homePhone")),
        *(
            (name, "national identifier")
            for name in ("ssn", "SSN", "tax_id", "SteuerID", "passportNo", "social_security_number")
        ),
        *((name, "payment card") for name in ("card_number", "creditCard", "cc_number", "Kreditkarte")),
        *((name, "bank account") for name in ("iban", "IBAN_2", "accountNumber", "Kontonummer")),
        *((name, "address") for name in ("street", "Straße", "mailing_address", "city", "Ort", "address2")),
        *((name, "postcode") for name in ("zip", "postal_code", "PLZ")),
        *((name, "ip address") for name in ("ip", "client_ip", "ipAddress")),
        *((name, "credentials") for name in ("password", "pwd_hash", "api_key", "motDePasse")),
        *((name, "username") for name in ("username", "user_name", "login", "Benutzername")),
        *((name, "free text") for name in ("notes", "Bemerkung", "message_body")),
        *((name, None) for name in ("x", "status", "emailing", "ship", "tipping", "", "___", "Größe")),
    ],
)
def test_names_are_read_in_some_spellings_and_languages(name: str, expected: str | None) -> None:
    assert label(name) == expected


def test_a_name_means_nothing_where_the_type_is_another() -> None:
    assert label("email_verified", "boolean") is None
    assert label("birth_date", "date") == "birth date"
    assert label("created_at", "timestamptz") == "its name says: time of a change"
    assert label("amount", "numeric(10,2)") == "its name says: money"
    assert label("payment_id", "integer") is None


def test_a_comment_or_a_type_says_it_too_but_less_surely() -> None:
    assert label("x", comment="the customer's e-mail, such as canary@example.com") == "email"
    assert label("x", "inet") == "ip address"
    assert label("x", "point") == "location"
    by_name = BySchema().classify(TABLE, column("email"), ())
    by_comment = BySchema().classify(TABLE, column("x", comment="canary: an email"), ())
    assert by_name is not None
    assert by_comment is not None
    assert by_name.confidence > by_comment.confidence
    assert by_comment.evidence == "its comment says: email"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([f"canary{n}@example.com" for n in range(10)], "email"),
        ([f"canary{n}@example.com" for n in range(8)] + ["-", "?"], "email"),
        ([f"canary{n}@example.com" for n in range(7)] + ["-", "?", "!"], None),
        ([f"canary{n}@example.com" for n in range(4)], None),
        (
            ["4242 4242 4242 4242", "4000056655665556", "5555-5555-5555-4444", "378282246310005", "6011111111111117"],
            "payment card",
        ),
        (["4242424242424241"] * 5, None),
        (["192.0.2.7", "2001:db8::1", "::1", "198.51.100.1", "203.0.113.9"], "ip address"),
        (["1.2.3"] * 9, None),
    ],
)
def test_a_sample_tells_a_few_forms(values: list[str], expected: str | None) -> None:
    found = ByValues().classify(TABLE, column("x"), values)
    assert (None if found is None else found.label) == expected
    assert ByValues().classify(TABLE, column("x", "jsonb"), values) is None


def test_what_is_surest_decides_and_no_value_is_in_the_draft() -> None:
    name = ColumnName("crm", "t", "note")
    made = draft(EMPTY, source(table("t", column("note"))), samples={name: [f"canary{n}@example.com" for n in range(5)]})
    (proposal,) = made.proposals
    assert (proposal.rule.method, proposal.rule.classification) == ("tokenize", "email")
    assert "5 of 5 sampled values have the form: email" in proposal.evidence
    assert "canary" not in repr(made)


@given(st.text(max_size=40), st.text(max_size=200), st.lists(st.text(max_size=30), max_size=8))
def test_anything_can_be_classified(name: str, comment: str, sample: list[str]) -> None:
    for classifier in (BySchema(), ByValues()):
        found = classifier.classify(TABLE, column(name, comment=comment), sample)
        assert found is None or 0 <= found.confidence <= 1
