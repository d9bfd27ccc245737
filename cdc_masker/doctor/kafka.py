"""Who may read raw topics, how long they keep what they hold, and how they could lose it, by what brokers tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdc_masker.doctor.findings import Finding, Severity
from cdc_masker.settings import PREFIX

__all__ = ["of_brokers", "of_topics"]


def of_brokers(options: Mapping[str, str | None]) -> Iterator[Finding]:
    """The settings of a broker."""
    if not options.get("authorizer.class.name"):
        yield Finding(
            Severity.WARNING,
            "brokers: authorizer.class.name",
            "there are no access lists, so whoever reaches the brokers may read the raw topics",
            "set an authorizer, and allow Read on the raw topics to cdc-masker's user only",
        )
    elif options.get("allow.everyone.if.no.acl.found") == "true":
        yield Finding(
            Severity.WARNING,
            "brokers: allow.everyone.if.no.acl.found",
            "everybody may read a raw topic that no access list names",
            "set it to false, and allow Read on the raw topics to cdc-masker's user only",
        )
    if options.get("auto.create.topics.enable", "true") == "true":
        yield Finding(
            Severity.WARNING,
            "brokers: auto.create.topics.enable",
            "a topic that is named by mistake is made, with partitions, retention and readers that nobody chose",
            "set it to false",
        )


def of_topics(topics: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """The settings of raw topics, by name."""
    if not topics:
        yield Finding(
            Severity.WARNING,
            f"{PREFIX}SOURCE_TOPICS",
            "it names no raw topic that is there, so none was looked at",
            "set it to a regular expression for the topics to mask, and start the connector",
        )
    for name, options in sorted(topics.items()):
        policies = options.get("cleanup.policy", "delete").split(",")
        limits = [options.get(limit, "-1") for limit in ("retention.ms", "retention.bytes")]
        if "delete" not in policies or limits == ["-1", "-1"]:
            yield Finding(
                Severity.WARNING,
                f"topic {name}: retention.ms",
                "raw records are kept for ever, those of people who were erased included",
                "set it, with cleanup.policy=delete, to the time in which they may have to be masked again",
            )
        if "compact" in policies:
            yield Finding(
                Severity.WARNING,
                f"topic {name}: cleanup.policy",
                "raw records may be compacted away before they are masked",
                "set it to delete; masked topics may be compacted instead",
            )
        if options.get("unclean.leader.election.enable") == "true":
            yield Finding(
                Severity.ERROR,
                f"topic {name}: unclean.leader.election.enable",
                "records get lost when a replica that lags behind becomes leader",
                "set it to false",
            )
