"""The source database as it is now: its catalog, and a sample of values where somebody asks for one.

database   the way there, read only, and what refusals mean
catalog    what the tables of the publication are, as the values of `cdc_masker.drafting.tables`
types      how a rule writes a column's type
sample     some values, which stay in the process
"""

from __future__ import annotations

from cdc_masker.source.catalog import read_source
from cdc_masker.source.database import open_source
from cdc_masker.source.sample import sample

__all__ = ["open_source", "read_source", "sample"]
