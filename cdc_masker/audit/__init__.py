"""Verifying the audit. The checks are pure and go over plain iterators; what reads servers is around them.

findings     what it comes to                    entries      what an entry has to be by itself
published    the audit topic's entries           chains       entries, one after the other
records      raw and masked records beside them  verifying    all of one masked copy
checkpointing    signs where chains end          places       where the signed notes go
"""
