"""Whose a payment is of which a provider tells: what somebody said by hand, else what the merchant's reference names.

A reference is an order's number, an id of the API (`ord_…`, `cus_…`), or an order's or customer's external id in the source that
the account names. An order counts before a customer; where several orders or customers have the reference, nobody is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from crmgql.domain.money.hooks.families import Family
from crmgql.models.names import PREFIXES
from crmgql.records.records import Act

API_ID = re.compile("([a-z]{3})_([0-9a-f]{32})")
# Parameters: references, ids of orders, ids of customers, sources.
FIND = """
SELECT customer_id, id AS order_id, currency FROM orders
WHERE number = ANY ($1) OR id = ANY ($2) OR (source = ANY ($4) AND external_id = ANY ($1))
UNION ALL
SELECT id, NULL, NULL FROM customers WHERE id = ANY ($3) OR (source = ANY ($4) AND external_id = ANY ($1))"""
SAID = "SELECT id, currency FROM orders WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Whose:
    """`currency`: the order's."""

    customer_id: UUID
    order_id: UUID | None = None
    currency: str | None = None


async def find(act: Act, family: Family, references: Collection[str]) -> Whose | str:
    """Whose the payment is, or why that is not known."""
    said = next((row for row in family.rows if row["customer_id"] is not None), None)
    if said is not None:
        order = await act.tx.connection.fetchrow(SAID, said["order_id"])
        return Whose(said["customer_id"], order and order["id"], order and order["currency"])
    if not references:
        return "It names no order."
    listed = ", ".join(sorted(references))
    ids = [match.groups() for each in references if (match := API_ID.fullmatch(each))]
    orders, customers = ([UUID(hex) for kind, hex in ids if kind == PREFIXES[name]] for name in ("Order", "Customer"))
    sources = sorted({row["order_source"] for row in family.rows if row["order_source"]})
    spellings = sorted({*references, *(each.strip().upper() for each in references)})
    rows = await act.tx.connection.fetch(FIND, spellings, orders, customers, sources)
    found = {Whose(*row) for row in rows if row["order_id"] is not None} or {Whose(*row) for row in rows}
    if len(found) > 1:
        return f"Several orders or customers are called {listed}."
    return next(iter(found), f"No order or customer is called {listed}.")
