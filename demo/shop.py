"""The shop: its database, its made-up people, and what happens in it while the demo watches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cdc_masker.stack import Stack

__all__ = ["DATABASE", "EXPECTED_RECORDS", "KEPT", "changes", "create"]

DATABASE = "shop"
_TABLES = Path(__file__).resolve().parent.parent / "examples" / "shop.sql"

# The columns that the demo's policy keeps; every other value must not be found in the output.
KEPT = {
    "customers": {"id", "balance", "tier", "created_at", "updated_at", "active", "score"},
    "orders": {"id", "total", "placed"},
    "sessions": {"started"},
}

_PEOPLE = """
insert into crm.customers (email, full_name, phone, ssn, dob, card_number, balance, tier, tags, profile, avatar,
                           updated_at, last_ip, notes, score)
values
  ('ines.moreau@example.com', 'Ines Moreau', '+33-1-5550-0142', '900-11-2233', '1984-05-17', '4000001234567899', 120.50,
   'pro', '{newsletter,beta}', '{"contact": {"phones": ["+33-1-5550-0143"]}, "n": 12345678901234567890}', '\\xdeadbeef',
   now(), '192.0.2.17', 'Prefers to be called at +33-1-5550-0142', 7.25),
  ('tomas.keller@example.com', 'Tomas Keller', '+49-30-5550-0177', '900-44-5566', '1990-11-02', '4000009876543210', 0.10,
   'free', '{beta}', '{"contact": {"email": "tk.private@example.org"}}', null, now(), '198.51.100.4', null, 3.5),
  ('amara.diallo@example.com', 'Amara Diallo', '+221-33-555-0199', '900-77-8899', '1971-01-30', '4000005555444433', 99.99,
   'enterprise', null, null, null, null, '2001:db8::17', 'Card 4000005555444433 was replaced', 9.0);
insert into crm.orders (customer_email, iban, ship_to, total)
values
  ('ines.moreau@example.com', 'FR1420041010050500013M02606', '{"street": "12 Rue des Exemples"}', 59.90),
  ('ines.moreau@example.com', 'FR1420041010050500013M02606', '{"street": "12 Rue des Exemples"}', 12.00),
  ('tomas.keller@example.com', 'DE75512108001245126199', '{"street": "Beispielweg 3"}', 240.10);
insert into crm.sessions (email, device, started)
values ('ines.moreau@example.com', 'ines-laptop', now()), ('amara.diallo@example.com', 'amara-phone', now());
"""
_SNAPSHOT_RECORDS = 8

# What is done, as a sentence and as SQL, and how many records of the three tables it makes.
_CHANGES = [
    (
        "a customer signs up",
        "insert into crm.customers (email, full_name, phone, ssn) "
        "values ('bela.novak@example.com', 'Bela Novak', '+420-2-5550-0111', '900-22-1144')",
        1,
    ),
    (
        "and orders something",
        "insert into crm.orders (customer_email, iban, total) "
        "values ('bela.novak@example.com', 'CZ6508000000192000145399', 17.35)",
        1,
    ),
    ("a phone number changes", "update crm.customers set phone = '+33-1-5550-0188' where id = 1", 1),
    ("an order is corrected, under REPLICA IDENTITY FULL", "update crm.orders set total = 239.10 where id = 3", 1),
    ("an order is deleted: a delete and a tombstone", "delete from crm.orders where id = 2", 2),
    (
        "a primary key that is an e-mail address changes: a delete, a tombstone and an insert",
        "update crm.sessions set email = 'amara.d@example.com' where email = 'amara.diallo@example.com'",
        3,
    ),
    ("a column is added that no rule knows", "alter table crm.customers add column passport text", 0),
    ("and filled", "update crm.customers set passport = 'P-7319904' where id = 2", 1),
]

EXPECTED_RECORDS = _SNAPSHOT_RECORDS + sum(records for _, _, records in _CHANGES)


def create(stack: Stack, database: str = DATABASE) -> None:
    """Makes the database with its tables and its first people."""
    stack.create_database(database)
    stack.sql(_TABLES.read_text(), database)
    stack.sql(_PEOPLE, database)


def changes(stack: Stack, database: str = DATABASE) -> Iterator[str]:
    """Makes the changes one by one, each in a transaction of its own; gives the sentence of each before it is made."""
    for sentence, statement, _ in _CHANGES:
        yield sentence
        stack.sql(statement, database)
