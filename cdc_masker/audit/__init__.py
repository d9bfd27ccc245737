"""Verifying the audit, proving records by it, and signing where its chains end.

The checks are pure and go over plain iterators:

findings      what it comes to                    entries       what an entry has to be by itself
published     the audit topic's entries           chains        entries, one after the other
records       raw and masked records beside them  verifying     all of one masked copy
recomputing   raw records masked anew             proving       that one record is in the audit

What reads servers and files is around them:

snapshot      what there is, at one time          running       hands it to the checks
bridge        from their thread to the servers    anew          maskers and keys of subjects
archive       what retention took                 checkpoints   signed notes that were kept
proof         what a proof is made of
checkpointing signs where chains end              places        where the signed notes go
"""
