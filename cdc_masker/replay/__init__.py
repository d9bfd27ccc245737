"""Replays: masking chosen raw topics once more, from a place on, as a generation of their own.

places      what `--from` and `--to` say         weaker      whether a policy may be used for it
planning    what a replay would be               sampling    what is learnt from a few of its records
running     its workers                          progress    how far they came
comparing   what masking again would change      differing   how many records differ, and where
changing    the same on a few of its records
parts       a masked record, part by part        causes      why one comes out otherwise
cutover     it takes the place of what was       positions   where a source offset is in a masked partition
announcing  telling consumers of that            retiring    deleting what nobody reads
standing    how far generations came             overview    raw topics and their copies
"""
