"""Debezium's incremental snapshots: rows of chosen tables are read again, beside the changes, when raw records are gone.

channels    what the connector's configuration says of signals and notifications
checking    what is missing around them
signals     what is sent
listening   what comes back
progress    what it means
asking      all of it, in order
"""

from __future__ import annotations

from cdc_masker.snapshots.asking import snapshot, stop
from cdc_masker.snapshots.channels import Channels, Lack
from cdc_masker.snapshots.checking import of_signal_table, of_signal_topic
from cdc_masker.snapshots.progress import Progress, Stopping

__all__ = ["Channels", "Lack", "Progress", "Stopping", "of_signal_table", "of_signal_topic", "snapshot", "stop"]
