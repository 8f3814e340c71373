"""Converts a lead to a customer with a contact and, by default, an opportunity, in one transaction.

Always holds: of two leads of one company that are converted at once, the second finds the customer that the first made.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import contacts, customers
from crmgql.domain.leads import lead_states
from crmgql.domain.leads.lead_states import MOVES, UNPLACED
from crmgql.domain.opportunities import opportunities, standings
from crmgql.domain.people import users
from crmgql.errors import BadUserInput, Conflict, Forbidden
from crmgql.models import Customer, names
from crmgql.records import checks, records
from crmgql.records.money import Money
from crmgql.records.records import Act, Row

CUSTOMERS_LOOKED_AT = 20
# Of merged customers it is the one that they live on in.
BY_EMAIL = f"""
SELECT lives_on_in(id) AS id FROM customers WHERE lower(email) = ANY($1::text[])
UNION
SELECT lives_on_in(customer_id) FROM contacts WHERE lower(email) = ANY($1::text[])
ORDER BY id LIMIT {CUSTOMERS_LOOKED_AT}"""
BY_DOMAIN = f"""
SELECT DISTINCT lives_on_in(id) AS id FROM customers WHERE lower(split_part(email, '@', 2)) = ANY($1::text[]) ORDER BY id LIMIT {CUSTOMERS_LOOKED_AT}"""
CONTACT = "SELECT id FROM contacts WHERE customer_id = $1 AND lower(email) = ANY($2::text[]) ORDER BY id LIMIT 1"
HAS_PRIMARY = "SELECT EXISTS (SELECT FROM contacts WHERE customer_id = $1 AND is_primary)"
TAKEN_OVER = ("email", "phone", "website", "industry", "region", "country", "city", "currency")


async def convert(
    act: Act,
    *,
    id: UUID,
    customer_id: UUID | None = None,
    new_customer: bool | None = None,
    with_opportunity: bool | None = None,
    opportunity_name: str | None = None,
    amount: Money | None = None,
    stage_id: UUID | None = None,
    expected_close: date | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Converts an open lead, to the customer named, else the one found by e-mail or domain, else a new one.

    `with_opportunity`: unless false, an opportunity over `amount`, by default the lead's budget. Raises
    `IllegalTransition` for a lead that is closed, `Conflict` when several customers fit, `Forbidden`, `NotFound`.
    """
    _require_seller(act)
    _check_input(customer_id, new_customer, opportunity_name)
    lead = await lead_states.lock(act, id, "convert", expected_version=expected_version)
    owner_id = await _owner(act, lead)
    if customer_id is None:
        customer_id = await _customer(act, lead, owner_id, new=bool(new_customer))
    contact_id = await _contact(act, lead, customer_id)
    made: Row = {"customer_id": customer_id, "contact_id": contact_id}
    if with_opportunity is not False:
        terms: Row = {"amount": amount or _budget(lead), "stage_id": stage_id, "expected_close": expected_close}
        terms = {name: value for name, value in terms.items() if value is not None}
        made["opportunity_id"] = await opportunities.create(
            act, name=opportunity_name or _title(lead), **made, **_owned_by(owner_id), **terms
        )
    await lead_states.leave_pool(act, lead, reason="Converted.")
    changes = {**UNPLACED, **made, "owner_id": owner_id}
    await lead_states.move(act, lead, MOVES["convert"], changes=changes, payload=made)
    if "opportunity_id" in made:  # it scores by where the lead came from, too
        await standings.refresh(act, [made["opportunity_id"]])
    return id


def _require_seller(act: Act) -> None:
    access.require_write(act.viewer, "Lead")
    if not access.may(act.viewer.who, "opportunity.write"):
        raise Forbidden("Converting a lead is for those who may make opportunities; qualify it, and ask a seller to.")


def _check_input(customer_id: UUID | None, new_customer: bool | None, opportunity_name: str | None) -> None:
    if customer_id is not None and new_customer:
        raise BadUserInput("Name a customer or ask for a new one, not both.", field="newCustomer")
    if opportunity_name is not None:
        checks.check_text(opportunity_name, "opportunityName", longest=200, required=True)


async def _owner(act: Act, lead: Row) -> UUID | None:
    """The owner of the new records: the lead's owner, else the viewer if they sell or manage."""
    if lead["owner_id"] is None:
        return await users.own(act)
    if lead["owner_id"] != act.viewer.user_id:
        access.require_read(act.viewer.who, "User")
    if await users.still_here(act, lead["owner_id"]) is None:
        raise Conflict("The lead's owner is not active any more; assign the lead first.", field="id")
    return lead["owner_id"]  # type: ignore[no-any-return]


def _owned_by(owner_id: UUID | None) -> Row:
    return {} if owner_id is None else {"owner_id": owner_id}


def _budget(lead: Row) -> Money | None:
    return None if lead["budget_amount"] is None else (lead["budget_amount"], lead["currency"])


def _title(lead: Row) -> str:
    return str(lead["company"] or lead["name"])


async def _customer(act: Act, lead: Row, owner_id: UUID | None, *, new: bool) -> UUID:
    """The one customer that fits, or a new one. Raises `Conflict` when several fit."""
    for key in sorted({lead["normal_email"], lead["domain"]} - {None}):
        await records.serialize(act, f"leads.convert {key}")
    if not new:
        searches = (("e-mail address", BY_EMAIL, _emails(lead)), ("domain", BY_DOMAIN, [lead["domain"]]))
        for what, sql, keys in searches:
            found = await _visible(act, sql, keys)
            if len(found) > 1:
                named = ", ".join(names.api_id("Customer", each) for each in found[:5])
                raise Conflict(
                    f"Several customers have this {what}: {named}. Name one of them, or ask for a new one with newCustomer.",
                    field="customerId",
                )
            if found:
                return found[0]
    return await customers.create(act, **_as_customer(lead), **_owned_by(owner_id))


async def _visible(act: Act, search: str, keys: Sequence[str | None]) -> list[UUID]:
    """The customers found that the viewer sees; others are treated as if they did not exist."""
    found = [row["id"] for row in await act.tx.connection.fetch(search, keys)] if any(keys) else []
    visible = await records.visible_many(act, Customer, found)
    return [id for id in found if id in visible]


def _as_customer(lead: Row) -> dict[str, Any]:
    values = {name: lead[name] for name in TAKEN_OVER}
    if lead["company"] is None:
        return {**values, "name": lead["name"], "kind": "PERSON"}
    return {**values, "name": lead["company"], "kind": "COMPANY", "employee_count": lead["employee_count"]}


async def _contact(act: Act, lead: Row, customer_id: UUID) -> UUID:
    """The customer's contact with the lead's e-mail address, or a new one, which is the primary contact if there is none."""
    await customers.living(act, customer_id, field="customerId")
    if emails := _emails(lead):
        known: UUID | None = await act.tx.connection.fetchval(CONTACT, customer_id, emails)
        if known is not None:
            return known
    primary = not await act.tx.connection.fetchval(HAS_PRIMARY, customer_id)
    person = {name: lead[name] for name in ("name", "title", "email", "phone")}
    return await contacts.create(act, customer_id=customer_id, primary=primary, **person)


def _emails(lead: Row) -> list[str]:
    """The lead's address as typed and in its normal form, in lower case."""
    return sorted({each.lower() for each in (lead["email"], lead["normal_email"]) if each})
