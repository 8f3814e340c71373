"""How one request's work is done: what it may spend, and what is put aside into the slow lane so that it holds nobody up."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from crmgql.engine.budget import Budget
from crmgql.engine.lanes import Lane
from crmgql.planner.plan import Key, Plan, Plans
from crmgql.planner.sizes import Sizes

Result = TypeVar("Result")

MANY_VALUES = 500
"""From so many on, work that grows with them takes a millisecond or more: not on the event loop."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`client` is whose turn it is in the lane; `values` how many the request may hold."""

    client: Hashable
    values: int
    budget: Budget
    lane: Lane
    plans: Plans
    sizes: Sizes

    async def aside(self, work: Callable[[], Result]) -> Result:
        """Does work that grows with the request's values: of few here, of many in the lane."""
        return work() if self.values < MANY_VALUES else await self.lane.run(self.client, work)

    async def plan(self, find_key: Callable[[], Key], make: Callable[[], Plan]) -> Plan:
        """The plan that is kept under a key, or one that is made now. Raises what making it raises."""
        key = await self.aside(find_key)
        plan = self.plans.kept(key)
        if plan is not None:
            return plan
        return await self.lane.once(
            self.client, key, lambda: self.plans.kept(key), make, lambda plan: self.plans.keep(key, plan)
        )

    def pay(self, plan: Plan | None, more: int = 0) -> int:
        """What running a plan costs, in nodes, taken from what the request may spend. Raises `MaxCostExceeded`."""
        cost = more
        if plan is not None:
            cost += plan.cost + (self.sizes.weigh(plan.scans) if plan.scans else 0)
        self.budget.pay(cost, self.plans.max_cost)
        return cost
