"""Decide nothing: what nobody decided on is redacted

Revision ID: policy_0001
"""

from __future__ import annotations

from alembic import op

revision = "policy_0001"
down_revision = None
branch_labels = "policy"
depends_on = "catalog"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
