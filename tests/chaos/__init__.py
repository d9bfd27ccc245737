"""Chaos: workers on the real stack that are killed, stopped and cut off, and a checker that looks at what they left.

worker      a worker that stops itself where it is told      proxy       connections that fail
source      Debezium's part                                  observer    offsets, and transactions that are open
fleet       the workers                                      disk        the audit's disk, which gets full
faults      what is done to them                             run         a whole run: faults by a seed, then the check
checker     what must hold, of values alone                  gathering   the values, from the real stack
report      what was done and found
"""
