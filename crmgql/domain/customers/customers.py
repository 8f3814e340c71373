"""Customers: their facts, who owns them, what they are part of, and their life cycle (`NEXT`)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import followers
from crmgql.domain.people import users
from crmgql.domain.pools import pool_items, pools
from crmgql.errors import CurrencyMismatch, IllegalTransition
from crmgql.events.outbox import Changes
from crmgql.models import Customer
from crmgql.records import checks, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

FACTS = (
    "name kind status email phone website industry region country state city postal_code currency founded_year "
    "employee_count annual_revenue notes owner_id parent_id"
)
"""What is said of a customer, and may be changed."""

NEXT = {
    "PROSPECT": ("CUSTOMER",),
    "CUSTOMER": ("DORMANT", "CHURNED"),
    "DORMANT": ("CUSTOMER", "CHURNED"),
    "CHURNED": ("PROSPECT", "CUSTOMER"),
}
"""From where to where. Who has bought is never a mere prospect again, except when won back from having left."""

CONFLICTS = {
    "customers_employee_count": ("employeeCount", "Can't be negative."),
    "customers_founded_year": ("foundedYear", "A year of foundation is 1000 to 9999."),
}


@takes(Customer, FACTS, ORIGIN)
async def create(act: Act, **values: Any) -> UUID:
    """A customer: the viewer's own if they sell or manage, else nobody's, unless an owner is named."""
    access.require_write(act.viewer, "Customer")
    if "owner_id" in values:
        values["owner_id"] = await users.assignable(act, values["owner_id"], field="ownerId")
    else:
        values["owner_id"] = await users.own(act)
    if values.get("parent_id") is not None:
        await records.visible(act, Customer, values["parent_id"], field="parentId")
    if (revenue := values.pop("annual_revenue", None)) is not None:
        values["currency"] = values.get("currency") or revenue[1]
        values["annual_revenue_amount"] = checks.money(revenue, values["currency"], field="annualRevenue")
    customer = await records.create(act, Customer, values, kind="customer.created", conflicts=CONFLICTS)
    return customer["id"]  # type: ignore[no-any-return]


@takes(Customer, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; the event tells a change of status or owner by its name."""
    access.require_write(act.viewer, "Customer")
    if changes.get("parent_id") is not None:
        await _check_parent(act, id, changes["parent_id"])
    customer = await records.lock(act, Customer, id, expected_version=expected_version)
    if "owner_id" in changes and changes["owner_id"] != customer["owner_id"]:
        await users.assignable(act, changes["owner_id"], field="ownerId")
        changes |= await _out_of_pool(act, customer, changes["owner_id"])
    _check_status(customer, changes.get("status"))
    changes |= _revenue(customer, changes)
    kind, payload = kind_and_payload(records.difference(customer, changes))
    after = await records.change(act, Customer, customer, changes, kind=kind, conflicts=CONFLICTS, payload=payload)
    await pool_items.refresh_one(act, pool_items.CUSTOMER, after)
    await followers.customers_changed(act, followers.difference(customer, after))
    return id


async def _out_of_pool(act: Act, customer: Row, owner_id: UUID | None) -> Row:
    """Who is given to somebody by hand is in no pool any more."""
    if customer["pool_id"] is None or owner_id is None:
        return {}
    await pools.withdraw(act, pool_items.CUSTOMER, customer["id"], reason="Assigned by hand.")
    return {"pool_id": None}


async def _check_parent(act: Act, id: UUID, parent_id: UUID) -> None:
    customer = await records.visible(act, Customer, id, field="id")
    if customer["parent_id"] == parent_id:
        return
    await records.visible(act, Customer, parent_id, field="parentId")
    await records.refuse_cycle(act, Customer, id, parent_id)


def _check_status(customer: Row, status: str | None) -> None:
    if status in (None, customer["status"]):
        return
    allowed = NEXT[customer["status"]]
    if status not in allowed:
        raise IllegalTransition(
            f"A {customer['status']} can't become a {status}; only {' or '.join(allowed)}.", field="status"
        )


def _revenue(customer: Row, changes: Row) -> Row:
    """The annual revenue as a column. It is in the customer's currency, so that can't change under it."""
    currency = changes.get("currency") or customer["currency"]
    if "annual_revenue" in changes:
        return {"annual_revenue_amount": checks.money(changes.pop("annual_revenue"), currency, field="annualRevenue")}
    if currency != customer["currency"] and customer["annual_revenue_amount"] is not None:
        raise CurrencyMismatch(
            f"The annual revenue is in {customer['currency']}; give it anew in {currency}.", field="currency"
        )
    return {}


def kind_and_payload(changes: Changes) -> tuple[str, Row]:
    """What it is called that these columns changed: a change of status or owner has a name of its own."""
    if "status" in changes:
        before, after = changes["status"]
        return "customer.statusChanged", {"from": before, "to": after}
    return ("customer.assigned" if "owner_id" in changes else "customer.updated"), {}
