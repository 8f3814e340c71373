"""Dunning: which reminders overdue invoices get, and of which customers and invoices they are stopped. `reminding` sends them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.messages import templates
from crmgql.domain.messages.templates import Values
from crmgql.errors import BadUserInput, IllegalTransition
from crmgql.models import Customer, DunningLevel, Invoice
from crmgql.models.names import api_name
from crmgql.records import checks, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

FACTS = "level after_days subject body subject_zh body_zh active"
TEXTS = ("subject", "body", "subject_zh", "body_zh")
LONGEST_BODY = 20_000
CONFLICTS = {
    "dunning_levels_level": ("level", "There is such a level already; change that one."),
    "dunning_levels_level_range": ("level", "Levels are 1 to 999."),
    "dunning_levels_after_days": ("afterDays", "Must be 1 to 3650 days."),
    "dunning_levels_zh": ("subjectZh", "A Chinese text has a subject and a body."),
    "dunning_levels_body_length": ("body", f"At most {LONGEST_BODY} characters fit."),
}
OTHERS = "SELECT level, after_days FROM dunning_levels WHERE id IS DISTINCT FROM $1 ORDER BY level"


def variables(
    *,
    number: str = "",
    amount: str = "",
    due: str = "",
    days: int = 0,
    customer: str = "",
    company: str = "",
) -> Values:
    """What the texts of a level can say. The amount is with its currency; `days` since the oldest part was due."""
    invoice = {"number": number, "amount": amount, "due": due, "days": str(days)}
    return {"invoice": invoice, "customer": {"name": customer}, "company": {"name": company}}


@takes(DunningLevel, FACTS, ORIGIN)
async def create_level(act: Act, **values: Any) -> UUID:
    """Makes a level. Invoices get its reminder from the next run on. Raises `BadUserInput`, `Conflict`."""
    access.require_write(act.viewer, "DunningLevel")
    await _check(act, values, None)
    payload = {name: values[name] for name in ("level", "after_days")}
    level = await records.create(
        act, DunningLevel, values, kind="dunningLevel.created", conflicts=CONFLICTS, payload=payload
    )
    return level["id"]  # type: ignore[no-any-return]


@takes(DunningLevel, FACTS)
async def update_level(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; an inactive level sends nothing."""
    access.require_write(act.viewer, "DunningLevel")
    level = await records.lock(act, DunningLevel, id, expected_version=expected_version)
    after = {**level, **changes}
    await _check(act, after, id)
    payload = {name: after[name] for name in ("level", "after_days")}
    await records.change(
        act, DunningLevel, level, changes, kind="dunningLevel.updated", conflicts=CONFLICTS, payload=payload
    )
    return id


async def _check(act: Act, level: Row, id: UUID | None) -> None:
    """Raises `BadUserInput` for texts that can't be rendered, and for days that are not later than those of lower levels."""
    for name in TEXTS:
        if len(level.get(name) or "") <= LONGEST_BODY:
            templates.check(level.get(name), variables(), field=api_name(name))
    for name in ("subject", "body"):
        if checks.is_blank(level[name] or ""):
            raise BadUserInput("Can't be blank.", field=name)
    for name in ("level", "after_days"):
        if level[name] is None:
            raise BadUserInput("Can't be empty.", field=api_name(name))
    await records.serialize(act, "dunning_levels")  # two at once could be in the wrong order
    for other in await act.tx.connection.fetch(OTHERS, id):
        steps, later = other["level"] - level["level"], other["after_days"] - level["after_days"]
        if steps * later < 0 or (steps != 0 and later == 0):
            raise BadUserInput(
                f"Level {other['level']} is sent after {other['after_days']} days; a higher level comes later.",
                field="afterDays",
            )


async def stop_invoice(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Stops reminders of an invoice, as while the customer disputes it. Raises `IllegalTransition` for one that is not issued."""
    return await _set_invoice(act, id, _reason(reason), "invoice.dunningStopped", expected_version)


async def resume_invoice(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Lets reminders of an invoice be sent again, unless they are stopped for its customer."""
    return await _set_invoice(act, id, None, "invoice.dunningResumed", expected_version)


async def stop_customer(act: Act, *, id: UUID, reason: str, expected_version: int | None = None) -> UUID:
    """Stops reminders of all of a customer's invoices, those to come included."""
    return await _set_customer(act, id, _reason(reason), "customer.dunningStopped", expected_version)


async def resume_customer(act: Act, *, id: UUID, expected_version: int | None = None) -> UUID:
    """Lets reminders of a customer's invoices be sent again, but of those that were stopped by themselves."""
    return await _set_customer(act, id, None, "customer.dunningResumed", expected_version)


def _reason(text: str) -> str:
    checks.check_text(text, "reason", longest=1000, required=True)
    return text


async def _set_invoice(act: Act, id: UUID, reason: str | None, kind: str, expected_version: int | None) -> UUID:
    access.require_write(act.viewer, "Invoice")
    invoice = await records.lock(act, Invoice, id, expected_version=expected_version)
    if invoice["status"] != "ISSUED":
        raise IllegalTransition(f"This invoice is {invoice['status']}; nobody is reminded of it.", field="id")
    await records.change(act, Invoice, invoice, {"dunning_stop_reason": reason}, kind=kind)
    return id


async def _set_customer(act: Act, id: UUID, reason: str | None, kind: str, expected_version: int | None) -> UUID:
    access.require_write(act.viewer, "Invoice")
    access.require_write(act.viewer, "Customer")
    customer = await records.lock(act, Customer, id, expected_version=expected_version)
    await records.change(act, Customer, customer, {"dunning_stop_reason": reason}, kind=kind)
    return id
