"""Who sees what, said again in the domain's words and in plain Python, knowing nothing of `crmgql.access`.

- A seller sees the customers they own, a manager those of the whole team tree below; finance, administrators,
  support, marketing and integrations see every customer. What hangs on a customer is seen with the customer.
- Marketing learns nothing of orders, lines and payments; who is a marketer and something else sees these as the other.
- A commission is seen by its seller, the managers above, finance and administrators; by nobody else.
- A deal is seen by its owner, the managers above the owner, and whoever sees its customer; who sees all customers (and
  finance) sees all deals, with a customer or without.
- Salaries are for finance, administrators and oneself; costs and margins for finance, administrators and managers.
- Events are for administrators and integrations, the audit trail for administrators and finance, API keys for
  administrators. Users, teams and products are for everybody who has a role at all.
- An API key sees what its user sees, and of that only the nouns it was made for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

Row = dict[str, Any]

TABLE_OF = {
    "User": "users",
    "Team": "teams",
    "ApiKey": "api_keys",
    "Product": "products",
    "Customer": "customers",
    "Contact": "contacts",
    "Opportunity": "opportunities",
    "Order": "orders",
    "OrderLine": "order_lines",
    "Payment": "payments",
    "Commission": "commissions",
    "Interaction": "interactions",
    "Ticket": "tickets",
    "Event": "events",
    "AuditEntry": "audit_entries",
}
SCOPE_OF = TABLE_OF | {
    "OrderLine": "orders",
    "AuditEntry": "audit",
    "ApiKey": "apikeys",
}
SEE_ALL_CUSTOMERS = {"ADMIN", "FINANCE", "SUPPORT", "MARKETER", "INTEGRATION"}
COSTS = {("Product", "cost"), ("Product", "margin"), ("OrderLine", "unitCost"), ("Order", "cost"), ("Order", "margin")}


@dataclass
class Sight:
    """What one viewer sees of the company's rows."""

    rows: dict[str, list[Row]]
    user_id: UUID
    roles: frozenset[str]
    scopes: frozenset[str] | None

    def in_scope(self, kind: str) -> bool:
        return self.scopes is None or bool({f"{SCOPE_OF[kind]}:read", "*:read"} & self.scopes)

    @cached_property
    def people(self) -> set[UUID]:
        """Those whose records are one's own to see: oneself, and for a manager everybody below."""
        found = {self.user_id} if self.roles & {"SELLER", "MANAGER"} else set()
        if "MANAGER" not in self.roles:
            return found
        teams = {team["id"] for team in self.rows["teams"] if team["manager_id"] == self.user_id}
        while more := {t["id"] for t in self.rows["teams"] if t["parent_id"] in teams} - teams:
            teams |= more
        found |= {user["id"] for user in self.rows["users"] if user["team_id"] in teams}
        return found | {t["manager_id"] for t in self.rows["teams"] if t["id"] in teams and t["manager_id"]}

    @cached_property
    def _customers(self) -> dict[UUID, Row]:
        return {row["id"]: row for row in self.rows["customers"]}

    def _customer(self, row: Row, roles: frozenset[str]) -> bool:
        if roles & SEE_ALL_CUSTOMERS:
            return True
        return bool(roles & {"SELLER", "MANAGER"}) and row["owner_id"] in self.people

    def _customer_of(self, row: Row, roles: frozenset[str]) -> bool:
        if row["customer_id"] is None:
            return False
        return self._customer(self._customers[row["customer_id"]], roles)

    def sees(self, kind: str, row: Row) -> bool:
        """Whether a row of a type is visible."""
        if not self.roles or not self.in_scope(kind):
            return False
        if kind in ("User", "Team", "Product"):
            return True
        return self._rules[kind](row)

    @cached_property
    def _rules(self) -> dict[str, Callable[[Row], bool]]:
        roles = self.roles
        trade = roles - {"MARKETER"}
        below = roles & {"SELLER", "MANAGER"}
        rules: dict[str, Callable[[Row], bool]] = {
            "Customer": lambda row: self._customer(row, roles),
            "Commission": lambda row: (
                bool(roles & {"ADMIN", "FINANCE"}) or bool(below and row["seller_id"] in self.people)
            ),
            "Opportunity": lambda row: (
                bool(roles & SEE_ALL_CUSTOMERS)
                or bool(below and row["owner_id"] in self.people)
                or self._customer_of(row, roles)
            ),
            "Event": lambda row: bool(roles & {"ADMIN", "INTEGRATION"}),
            "AuditEntry": lambda row: bool(roles & {"ADMIN", "FINANCE"}),
            "ApiKey": lambda row: "ADMIN" in roles,
        }
        for kind in ("Contact", "Interaction", "Ticket"):
            rules[kind] = lambda row: self._customer_of(row, roles)
        for kind in ("Order", "OrderLine", "Payment"):
            rules[kind] = lambda row: self._customer_of(row, trade)
        return rules

    def may_read(self, kind: str, field: str, row: Row) -> bool:
        """Whether a field of a visible row may be read."""
        if (kind, field) == ("User", "salary"):
            return bool(self.roles & {"ADMIN", "FINANCE"}) or row["id"] == self.user_id
        return self._may_ever(kind, field)

    def may_filter(self, kind: str, field: str) -> bool:
        """Whether a field may be filtered or ordered by: only what may be read in every row."""
        if (kind, field) == ("User", "salary"):
            return bool(self.roles & {"ADMIN", "FINANCE"})
        return self._may_ever(kind, field)

    def _may_ever(self, kind: str, field: str) -> bool:
        if (kind, field) in COSTS:
            return bool(self.roles & {"ADMIN", "FINANCE", "MANAGER"})
        orders = bool(self.roles - {"MARKETER"}) and self.in_scope("Order")
        payments = bool(self.roles - {"MARKETER"}) and self.in_scope("Payment")
        if kind == "Order" and field in ("paid", "outstanding"):
            return payments
        if kind == "Customer" and field in ("orderCount", "lifetimeValue", "currencies"):
            return orders
        if kind == "Customer" and field == "outstanding":
            return orders and payments
        return True
