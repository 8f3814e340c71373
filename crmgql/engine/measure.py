"""How large a document is, with its fragments written out, and whether that is too large. Pure; before validation.

What validation and planning take grows with these sizes, so that a document within the caps takes a bounded time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from crmgql.errors import QueryTooComplex

MAX_FIELDS = 3000
MAX_COMPARISONS = 5000
"""Pairs of fields with the same place in the answer: validation compares each pair, which takes it some 8 µs."""


@dataclass(frozen=True)
class Limits:
    depth: int
    aliases: int
    directives: int
    fields: int = MAX_FIELDS
    comparisons: int = MAX_COMPARISONS


@dataclass(frozen=True, slots=True)
class Size:
    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    comparisons: int = 0

    def beside(self, other: Size) -> Size:
        return Size(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.comparisons + other.comparisons,
        )

    def plus(self, *, depth: int = 0, fields: int = 0, aliases: int = 0, directives: int = 0) -> Size:
        return Size(
            self.depth + depth,
            self.fields + fields,
            self.aliases + aliases,
            self.directives + directives,
            self.comparisons,
        )

    def check(self, limits: Limits, what: str = "the document has") -> None:
        """Raises `QueryTooComplex`, with the first cap that is passed."""
        caps = (
            ("levels", self.depth, limits.depth),
            ("aliases", self.aliases, limits.aliases),
            ("directives", self.directives, limits.directives),
            ("fields", self.fields, limits.fields),
            (
                "pairs of fields to compare, for the same field is in one place many times",
                self.comparisons,
                limits.comparisons,
            ),
        )
        for name, size, cap in caps:
            if size > cap:
                raise QueryTooComplex(f"With its fragments written out {what} {size} {name}; {cap} are allowed.")


def measured(document: DocumentNode, limits: Limits) -> Size:
    """The size of all operations together. Raises `QueryTooComplex`."""
    measure = _Measure(document)
    total = Size()
    for item in document.definitions:
        if isinstance(item, OperationDefinitionNode):
            total = total.beside(measure.of(item.selection_set)).plus(directives=len(item.directives or ()))
    total.check(limits)
    for fragment in measure.fragments.values():  # validation also reads those that no operation spreads
        measure.of(fragment.selection_set).check(limits)
    pairs = _Pairs(measure.fragments, limits.comparisons)
    for item in document.definitions:
        if isinstance(item, OperationDefinitionNode | FragmentDefinitionNode):
            pairs.count([item.selection_set])
    total = Size(total.depth, total.fields, total.aliases, total.directives, pairs.found)
    total.check(limits)
    return total


class _Measure:
    """Sizes with fragments written out, each fragment measured once. A fragment that contains itself counts as empty
    inside itself; validation refuses it later."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {
            item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)
        }
        self.known: dict[str, Size] = {}

    def of(self, selections: SelectionSetNode | None) -> Size:
        total = Size()
        for item in selections.selections if selections else ():
            directives = len(item.directives or ())
            if isinstance(item, FieldNode):
                inner = self.of(item.selection_set)
                size = inner.plus(depth=1, fields=1, aliases=1 if item.alias else 0, directives=directives)
            elif isinstance(item, FragmentSpreadNode):
                size = self._fragment(item.name.value).plus(directives=directives)
            else:
                size = self.of(item.selection_set).plus(directives=directives)  # type: ignore[attr-defined]
            total = total.beside(size)
        return total

    def _fragment(self, name: str) -> Size:
        if name not in self.known:
            self.known[name] = Size()
            fragment = self.fragments.get(name)
            if fragment is not None:
                self.known[name] = self.of(fragment.selection_set)
        return self.known[name]


class _Pairs:
    """Counts the pairs that validation compares: on each path of the answer, every two of the fields that are there."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode], most: int) -> None:
        self.fragments = fragments
        self.most = most
        self.found = 0

    def count(self, sets: Iterable[SelectionSetNode]) -> None:
        """Adds the pairs of selections that are merged; stops when there are too many."""
        fields: dict[str, list[FieldNode]] = defaultdict(list)
        spread: set[str] = set()
        for selections in sets:
            self._collect(selections, fields, spread)
        for nodes in fields.values():
            self.found += len(nodes) * (len(nodes) - 1) // 2
            if self.found > self.most:
                return
            below = [node.selection_set for node in nodes if node.selection_set]
            if below:
                self.count(below)

    def _collect(self, selections: SelectionSetNode, fields: dict[str, list[FieldNode]], spread: set[str]) -> None:
        for item in selections.selections:
            if isinstance(item, FieldNode):
                fields[(item.alias or item.name).value].append(item)
            elif not isinstance(item, FragmentSpreadNode):
                self._collect(item.selection_set, fields, spread)  # type: ignore[attr-defined]
            elif item.name.value not in spread and item.name.value in self.fragments:
                spread.add(item.name.value)
                self._collect(self.fragments[item.name.value].selection_set, fields, spread)
