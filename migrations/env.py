"""The Alembic environment of the catalog, and of any directory of policy revisions."""

from cdc_masker.catalog.environment import run

run()
