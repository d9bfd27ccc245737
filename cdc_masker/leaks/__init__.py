"""Proof by search: no raw value of a column that the policy doesn't keep stands in anything that left the masker.

encodings     the forms of a value, and which values are telling enough to be searched
leaves        the values inside a value                 keeps     what a policy lets through
anatomy       a raw record: values by column, and what is kept
needles       all values to search for                  search    many of them at once, in a stream
sinks         what left the masker, as texts            selftest  proof that the search can find
sources       where records and sinks come from         scan      the whole way; `report` is what comes out

It shares no code with what masks: it asks a policy which columns and parts are kept, and what a rule's parameters show.
"""
