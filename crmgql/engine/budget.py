"""What one HTTP request may spend, all operations of its batch together: a batch is no way around a cap.

Enters: what an operation is about to take. Leaves: nothing, or a rejection; what was refused spends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crmgql.engine import measure
from crmgql.engine.documents import INTROSPECTION, LONGEST, Operation
from crmgql.engine.measure import Size
from crmgql.engine.mutations import MUTATIONS
from crmgql.errors import MaxCostExceeded, QueryTooComplex

MAX_COMPUTED = 5
"""Each costs statements of its own."""


@dataclass(slots=True)
class Budget:
    """What has been spent so far. `batch`: whether the request holds several operations."""

    batch: bool = False
    cost: int = 0
    computed: int = 0
    sessions: int = 0
    introspections: int = 0
    characters: int = 0
    size: Size = field(default_factory=Size)

    def read(self, text: str) -> None:
        """A document is about to be read. Raises `QueryTooComplex`."""
        self.characters += len(text)
        if self.batch and self.characters > LONGEST:
            raise QueryTooComplex(f"The documents of the batch have more than {LONGEST} characters together.")

    def run(self, operation: Operation, limits: measure.Limits) -> None:
        """An operation is about to run. Raises `QueryTooComplex`."""
        if self.batch:
            size = self.size.beside(operation.size)
            size.check(limits, "the documents of the batch have")
            self.size = size
        if operation.introspects:
            self._introspect(sum(operation.roots[name] for name in INTROSPECTION))
        if operation.kind == "mutation":
            self._open_sessions(operation)

    def pay(self, cost: int, most: int) -> None:
        """Nodes are about to be read, or records to be changed. Raises `MaxCostExceeded`."""
        if self.cost + cost > most:
            before = f" after {self.cost} of the same request" if self.cost else ""
            raise MaxCostExceeded(
                f"This may take {cost} nodes{before}; {most} are allowed. Ask for smaller pages, or for fewer sums and counts."
            )
        self.cost += cost

    def compute(self, number: int) -> None:
        """So many computed fields are about to be worked out. Raises `QueryTooComplex`."""
        if self.computed + number > MAX_COMPUTED:
            raise QueryTooComplex(
                f"At most {MAX_COMPUTED} computed fields fit into a request, not {self.computed + number}."
            )
        self.computed += number

    def _introspect(self, number: int) -> None:
        if self.batch:
            raise QueryTooComplex("Introspection is not answered in a batch; send it by itself.")
        self.introspections += number
        if self.introspections > 1:
            raise QueryTooComplex("A request may ask for __schema or __type once.")

    def _open_sessions(self, operation: Operation) -> None:
        opening = sum(
            number for name, number in operation.roots.items() if name in MUTATIONS and MUTATIONS[name].session
        )
        if self.sessions + opening > 1:
            raise QueryTooComplex("A request may log in, refresh, log out or change a password once.")
        self.sessions += opening
