"""What a policy decides about the columns of a source already."""

from __future__ import annotations

from collections.abc import Mapping

from cdc_masker import methods
from cdc_masker.drafting.tables import ColumnName, Source, SourceTable
from cdc_masker.lookup import Group, Lookup, Table, as_in_topics
from cdc_masker.methods import METHODS, Method
from cdc_masker.policies import Policy, Rule

__all__ = ["Registry", "Standing"]

Registry = Mapping[str, type[Method]]


class Standing:
    """One policy, asked about one source. `domains` are those that it declares, by name."""

    def __init__(self, policy: Policy, source: Source, known: Registry = METHODS) -> None:
        self.domains = {domain.name: domain for domain in policy.domains}
        self._known = known
        self._server = source.server
        self._lookup = Lookup(policy)
        signals = [each for each in policy.envelopes if each.shape == "signals"]
        self._topics_of_signals = {each.topic for each in signals if each.table is None}
        self._tables_of_signals = {(each.schema, each.table) for each in signals}

    def group(self, name: ColumnName) -> Group:
        """The rules that decide about a column; none: the default does."""
        return self._lookup.rules(Table(self._server, name.schema, name.table, ""), name.column)

    def rule(self, name: ColumnName) -> Rule | None:
        """The one rule that decides about a column as a whole."""
        group = self.group(name)
        return group[0] if len(group) == 1 and group[0].path is None else None

    def method(self, name: ColumnName) -> Method | None:
        """What that rule does."""
        rule = self.rule(name)
        return None if rule is None else self.build(rule)

    def build(self, rule: Rule) -> Method:
        return methods.build(rule, self._known)

    def needs_rules(self, table: SourceTable) -> bool:
        """Whether its rows are published: those of the table of signals are not, where the policy says so."""
        topic = ".".join((self._server, as_in_topics(table.schema), as_in_topics(table.name)))
        return topic not in self._topics_of_signals and (table.schema, table.name) not in self._tables_of_signals
