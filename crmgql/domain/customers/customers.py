"""Customers: their facts, who owns them, what they are part of, and their life cycle (`MOVES`)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import followers
from crmgql.domain.people import users
from crmgql.domain.pools import pool_items, pools
from crmgql.errors import CustomerMerged, IllegalTransition
from crmgql.events.outbox import Changes
from crmgql.models import Customer, names
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = (
    "name kind status email phone website industry segment region country state city postal_code currency founded_year "
    "employee_count annual_revenue credit_limit credit_policy notes billing_address tax_id language timezone owner_id parent_id"
)
"""What may be set of a customer, and changed."""

AMOUNTS = ("annual_revenue", "credit_limit")
CHANGED = "customer.statusChanged"
MOVES = Moves(
    Customer,
    PROSPECT=Move({"CHURNED"}, "PROSPECT", CHANGED),
    CUSTOMER=Move({"PROSPECT", "DORMANT", "CHURNED"}, "CUSTOMER", CHANGED),
    DORMANT=Move({"CUSTOMER"}, "DORMANT", CHANGED),
    CHURNED=Move({"CUSTOMER", "DORMANT"}, "CHURNED", CHANGED),
)
"""By the status that is set. A customer who has bought becomes a prospect again only after having left."""

LIVES_ON = "SELECT lives_on_in($1)"
CONFLICTS = {
    "customers_merged": ("status", "A customer is merged by customerMerge, and stays merged."),
    "customers_credit_limit_positive": ("creditLimit", "Can't be negative."),
    "customers_credit_limit_known": ("creditPolicy", "Set a credit limit first; a policy other than NONE needs one."),
    "customers_employee_count": ("employeeCount", "Can't be negative."),
    "customers_founded_year": ("foundedYear", "A year of foundation is 1000 to 9999."),
}


@takes(Customer, FACTS, ORIGIN)
async def create(act: Act, **values: Any) -> UUID:
    """Makes a customer: the viewer's own if they sell or manage, else nobody's, unless an owner is named."""
    access.require_write(act.viewer, "Customer")
    values["owner_id"] = await users.owner(act, values)
    if values.get("parent_id") is not None:
        await living(act, values["parent_id"], field="parentId")
    _require_credit(act, values)
    _check_zone(values)
    values |= money.columns(values, *AMOUNTS)
    customer = await records.create(act, Customer, values, kind="customer.created", conflicts=CONFLICTS)
    return customer["id"]  # type: ignore[no-any-return]


@takes(Customer, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; a change of status or owner has an event of its own kind."""
    access.require_write(act.viewer, "Customer")
    if changes.get("parent_id") is not None:
        await records.check_parent(act, Customer, id, changes["parent_id"])
    customer = await records.lock(act, Customer, id, expected_version=expected_version)
    if changes.get("parent_id") not in (None, customer["parent_id"]):
        await living(act, changes["parent_id"], field="parentId")
    if "owner_id" in changes and changes["owner_id"] != customer["owner_id"]:
        await users.assignable(act, changes["owner_id"], field="ownerId")
        changes |= await _out_of_pool(act, customer, changes["owner_id"])
    _require_credit(act, changes)
    _check_zone(changes)
    changes |= money.columns(changes, *AMOUNTS, before=customer)
    if changes.get("status") == "MERGED" != customer["status"]:
        raise IllegalTransition("A customer is merged by customerMerge, which says into which one.", field="status")
    if (status := changes.get("status") or customer["status"]) != customer["status"]:
        MOVES.check(status, customer, to=f"become {status}", field="status")
    kind, payload = kind_and_payload(records.difference(customer, changes))
    after = await records.change(act, Customer, customer, changes, kind=kind, conflicts=CONFLICTS, payload=payload)
    await pool_items.refresh_one(act, pool_items.CUSTOMER, after)
    await followers.customers_changed(act, followers.difference(customer, after))
    return id


async def living(act: Act, id: UUID, *, field: str) -> Row:
    """A customer that something new is for. Raises `NotFound`, `CustomerMerged`."""
    customer = await records.visible(act, Customer, id, field=field)
    await require_not_merged(act, customer, field=field)
    return customer


async def require_not_merged(act: Act, customer: Row, *, field: str) -> None:
    """Raises `CustomerMerged`, naming the customer that it lives on in."""
    if customer["merged_into_id"] is not None:
        lives_on = names.api_id("Customer", await act.tx.connection.fetchval(LIVES_ON, customer["id"]))
        raise CustomerMerged(
            f"{names.api_id('Customer', customer['id'])} was merged and lives on in {lives_on}; name that one.",
            field=field,
        )


def _require_credit(act: Act, values: Row) -> None:
    """Raises `Forbidden` unless the viewer may set a credit limit, if one is among the values."""
    for name in ("credit_limit", "credit_policy"):
        if name in values:
            access.require(act.viewer, "credit.approve", "Setting a credit limit", field=names.api_name(name))


def _check_zone(values: Row) -> None:
    """Raises `BadUserInput` for a time zone that there is not."""
    if values.get("timezone") is not None:
        checks.time_zone(values["timezone"], "timezone")


async def _out_of_pool(act: Act, customer: Row, owner_id: UUID | None) -> Row:
    """Assigning an owner by hand takes the customer out of its pool."""
    if customer["pool_id"] is None or owner_id is None:
        return {}
    await pools.withdraw(act, pool_items.CUSTOMER, customer["id"], reason="Assigned by hand.")
    return {"pool_id": None}


def kind_and_payload(changes: Changes) -> tuple[str, Row]:
    """The kind of event for a change of these columns: a new status or owner has a kind of its own."""
    before, after = changes.get("status", (None, None))
    if after is not None:
        return MOVES[after].event, {"from": before, "to": after}
    return ("customer.assigned" if "owner_id" in changes else "customer.updated"), {}
