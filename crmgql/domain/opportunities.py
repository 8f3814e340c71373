"""Opportunities: deals in the making, moved between the open stages, then won or lost.

Always holds: only `win` and `lose` close one and only `reopen` opens it again; what was closed keeps its figures.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain import people, records, shape
from crmgql.domain.records import Act, Row
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.models import Contact, Customer, Opportunity, Product

OPEN = ("PROSPECTING", "ENGAGING", "PROPOSAL", "NEGOTIATION")
CLOSED = ("WON", "LOST")
CHANGES_WHEN_CLOSED = frozenset({"name", "owner_id"})
CONFLICTS = {"opportunities_probability": ("probability", "A probability is 0 to 100 per cent.")}


async def create(
    act: Act, *, customer_id: UUID | None = None, amount: tuple[Decimal, str] | None = None, **values: Any
) -> UUID:
    """An open opportunity: the viewer's own if they sell or manage, unless an owner is named."""
    access.require_write(act.viewer, "Opportunity")
    _require_open(values.get("stage"))
    if customer_id is not None:
        customer = await records.visible(act, Customer, customer_id, field="customerId")
        values["currency"] = customer["currency"]
    if "owner_id" in values:
        values["owner_id"] = await people.assignable(act, values["owner_id"], field="ownerId")
    elif act.viewer.roles & people.OWNING:
        values["owner_id"] = act.viewer.user_id
    await _check(act, customer_id, values)
    values |= {"customer_id": customer_id, **_amount(amount)}
    opportunity = await records.create(act, Opportunity, values, kind="opportunity.created", conflicts=CONFLICTS)
    return opportunity["id"]  # type: ignore[no-any-return]


async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; a closed one's name and owner only."""
    access.require_write(act.viewer, "Opportunity")
    opportunity = await records.lock(act, Opportunity, id, expected_version=expected_version)
    if opportunity["stage"] in CLOSED and not changes.keys() <= CHANGES_WHEN_CLOSED:
        raise IllegalTransition(f"A {opportunity['stage']} opportunity's figures are fixed; reopen it.", field="id")
    if "owner_id" in changes and changes["owner_id"] != opportunity["owner_id"]:
        await people.assignable(act, changes["owner_id"], field="ownerId")
    customer_id = await _customer(act, opportunity, changes)
    await _check(act, customer_id, {name: value for name, value in changes.items() if value != opportunity[name]})
    if "amount" in changes:
        changes |= _amount(changes["amount"])
    await records.change(act, Opportunity, opportunity, changes, kind="opportunity.updated", conflicts=CONFLICTS)
    return id


async def move(act: Act, *, id: UUID, stage: str, expected_version: int | None = None) -> UUID:
    """To another open stage, onwards or back. Leaving the first one is when the engagement starts."""
    _require_open(stage)
    opportunity = await _lock(act, id, expected_version, OPEN, "move")
    changes: Row = {"stage": stage}
    if stage != OPEN[0] and opportunity["engaged_on"] is None:
        changes["engaged_on"] = act.now.date()
    payload = {"from": opportunity["stage"], "to": stage}
    await records.change(act, Opportunity, opportunity, changes, kind="opportunity.moved", payload=payload)
    return id


async def win(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    opportunity = await _lock(act, id, expected_version, OPEN, "win")
    if opportunity["customer_id"] is None:
        raise IllegalTransition("An opportunity without a customer can't be won; name the customer first.", field="id")
    changes = {"stage": "WON", "closed_on": act.now.date(), "probability": 100}
    await records.change(act, Opportunity, opportunity, changes, kind="opportunity.won")
    return id


async def lose(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Closes it without a deal; the reason is for those who want to do better."""
    opportunity = await _lock(act, id, expected_version, OPEN, "lose")
    shape.check_text(reason, "reason", longest=300)
    if shape.is_blank(reason):
        raise BadUserInput("Say why it was lost.", field="reason")
    changes = {"stage": "LOST", "closed_on": act.now.date(), "probability": 0, "lost_reason": reason}
    await records.change(act, Opportunity, opportunity, changes, kind="opportunity.lost")
    return id


async def reopen(act: Act, *, id: UUID, stage: str | None = None, expected_version: int | None = None) -> UUID:
    """Back to an open stage, NEGOTIATION unless another is named."""
    _require_open(stage)
    opportunity = await _lock(act, id, expected_version, CLOSED, "reopen")
    changes = {"stage": stage or "NEGOTIATION", "closed_on": None, "probability": None, "lost_reason": None}
    await records.change(act, Opportunity, opportunity, changes, kind="opportunity.reopened")
    return id


async def _lock(act: Act, id: UUID, expected_version: int | None, sources: tuple[str, ...], verb: str) -> Row:
    access.require_write(act.viewer, "Opportunity")
    opportunity = await records.lock(act, Opportunity, id, expected_version=expected_version)
    if opportunity["stage"] not in sources:
        allowed = ", ".join(sources)
        raise IllegalTransition(
            f"This opportunity is {opportunity['stage']}; to {verb} it, it must be one of {allowed}.", field="id"
        )
    return opportunity


def _require_open(stage: str | None) -> None:
    if stage in CLOSED:
        raise IllegalTransition(
            "A stage of WON or LOST is reached by opportunityWin and opportunityLose.", field="stage"
        )


async def _customer(act: Act, opportunity: Row, changes: Row) -> UUID | None:
    """Whose it is after the change. Orders and interactions may hang on it, so a customer once named stays."""
    before: UUID | None = opportunity["customer_id"]
    after: UUID | None = changes.get("customer_id", before)
    if after == before:
        return before
    if before is not None:
        raise Conflict("The opportunity belongs to a customer already; make another one.", field="customerId")
    if after is not None:
        await records.visible(act, Customer, after, field="customerId")
    return after


async def _check(act: Act, customer_id: UUID | None, values: Row) -> None:
    """The contact is the customer's; the product is there."""
    if values.get("contact_id") is not None:
        contact = await records.visible(act, Contact, values["contact_id"], field="contactId")
        records.require_same_customer(contact, customer_id, field="contactId")
    if values.get("product_id") is not None:
        await records.visible(act, Product, values["product_id"], field="productId")


def _amount(amount: tuple[Decimal, str] | None) -> Row:
    """The columns of an amount. Without one the currency stays as it was."""
    if amount is None:
        return {"amount": None}
    return {"amount": shape.money(amount, amount[1], field="amount"), "currency": amount[1]}
