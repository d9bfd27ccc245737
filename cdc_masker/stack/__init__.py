"""The local stack: PostgreSQL, Kafka and Kafka Connect with Debezium, on free loopback ports, without containers.

For tests, the demo and people who develop against it; nothing of it is made for production. `programs` finds what the
machine has, `jars` fetches the JVM side once, `postgres`, `kafka` and `connect` know how each part starts, and
`local.Stack` starts and stops them and remembers in `stack.json` what runs.
"""

from __future__ import annotations

from cdc_masker.stack.jars import fetch as fetch_jars
from cdc_masker.stack.local import PARTS, PartStatus, Stack, default_directory
from cdc_masker.stack.postgres import Database

__all__ = ["PARTS", "Database", "PartStatus", "Stack", "default_directory", "fetch_jars"]
