"""Masks the tables of the shop. `examples/shop-policy.json` says the same as a document."""

from __future__ import annotations

from alembic import op

revision = "shop_0001"
down_revision = None
branch_labels = ("policy",)
depends_on = ("catalog_0001",)


def upgrade() -> None:
    op.declare_domain("email", type="text")
    op.declare_domain("ssn", type="text")
    op.declare_domain("customer ref", type="uuid")

    op.keep_column("crm.customers", "id", type="bigint", reason="a number that means nothing outside of this database")
    op.mask_column("crm.customers", "email", type="text", method="tokenize", domain="email", classification="email")
    op.mask_column("crm.customers", "full_name", type="text", method="null", classification="name")
    op.mask_column("crm.customers", "phone", type="varchar", method="partial", last=2, classification="phone")
    op.mask_column(
        "crm.customers", "ssn", type="char(11)", method="tokenize", domain="ssn", classification="national identifier"
    )
    op.mask_column("crm.customers", "card_number", type="varchar", method="card", classification="payment card")
    op.keep_column(
        "crm.customers", "balance", type="numeric(12,2)", reason="wanted by analytics, personal only together with a name"
    )
    op.keep_column("crm.customers", "tier", type="enum", reason="three product names")
    op.keep_column("crm.customers", "created_at", type="timestamptz", reason="time of a business event")
    op.keep_column("crm.customers", "updated_at", type="timestamp", reason="time of a business event")
    op.mask_column("crm.customers", "ref", type="uuid", method="tokenize", domain="customer ref")
    op.mask_column("crm.customers", "notes", type="text", method="fixed", value="[removed]", classification="free text")
    op.keep_column("crm.customers", "active", type="boolean", reason="says nothing about who it is")
    op.keep_column(
        "crm.customers", "score", type="double precision", reason="wanted by analytics, personal only together with a name"
    )

    op.keep_column("crm.orders", "id", type="bigint", reason="a number that means nothing outside of this database")
    op.mask_column("crm.orders", "customer_email", type="text", method="tokenize", domain="email", classification="email")
    op.mask_column("crm.orders", "iban", type="text", method="truncate", length=2, classification="bank account")
    op.keep_column("crm.orders", "total", type="numeric", reason="wanted by analytics")
    op.keep_column("crm.orders", "placed", type="timestamptz", reason="time of a business event")

    op.mask_column("crm.sessions", "email", type="text", method="tokenize", domain="email", classification="email")
    op.keep_column("crm.sessions", "started", type="timestamptz", reason="time of a business event")


def downgrade() -> None:
    """Nothing to say: going back releases the policy before this revision as a new version."""
