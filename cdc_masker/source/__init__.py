"""The source database as it is now: its catalog, and a sample of values where somebody asks for one.

database   the way there, read only unless asked to write, and what refusals mean
catalog    what the tables of the publication are, as the values of `cdc_masker.drafting.tables`
types      how a rule writes a column's type
sample     some values, which stay in the process
signals    Debezium's signal table, the only one that is ever written to
"""

from __future__ import annotations

from cdc_masker.source.catalog import read_source
from cdc_masker.source.database import open_source
from cdc_masker.source.sample import sample
from cdc_masker.source.signals import SignalTable, insert_signal, primary_keys, signal_table

__all__ = ["SignalTable", "insert_signal", "open_source", "primary_keys", "read_source", "sample", "signal_table"]
