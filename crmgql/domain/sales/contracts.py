"""Contracts: drafted, made active, ended or terminated; and the plan of what is to be paid by when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.customers import customers
from crmgql.domain.people import users
from crmgql.domain.sales import recognition
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.models import Contract, ContractPayment
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

FACTS = "title parties starts_on ends_on owner_id value"
MAX_PAYMENTS = 200
MOVES = Moves(
    Contract,
    change=Move({"DRAFT", "ACTIVE"}),
    activate=Move({"DRAFT"}, "ACTIVE", "contract.activated", "activated_at"),
    end=Move({"ACTIVE"}, "ENDED", "contract.ended", "ended_at"),
    terminate=Move({"DRAFT", "ACTIVE"}, "TERMINATED", "contract.terminated", "ended_at"),
)
CONFLICTS = {"contracts_days": ("endsOn", "It can't end before it starts.")}
PLAN = "SELECT n, due_on, amount, owner_id, reminder_days FROM contract_payments WHERE customer_id = $1 AND contract_id = $2 ORDER BY n"
DROP = "DELETE FROM contract_payments WHERE customer_id = $1 AND contract_id = $2 AND n = ANY ($3)"


@dataclass(frozen=True, slots=True)
class Payment:
    """A part of the plan: an amount, or a share of the contract's value in per cent."""

    due_on: date
    amount: Money | None = None
    share: Decimal | None = None
    owner_id: UUID | None = None
    reminder_days: int | None = None


@takes(Contract, FACTS, ORIGIN)
async def create(act: Act, *, customer_id: UUID, value: Money, owner_id: UUID | None = None, **values: Any) -> UUID:
    """Makes a draft, in the currency of its value. The viewer is the owner unless another is named."""
    access.require_write(act.viewer, "Contract")
    await customers.living(act, customer_id, field="customerId")
    values |= {"customer_id": customer_id, "currency": value[1], "value_amount": money.amount(value, field="value")}
    values["owner_id"] = await users.assignable(act, owner_id or act.viewer.user_id, field="ownerId")
    row = await records.create(act, Contract, values, kind="contract.created", conflicts=CONFLICTS)
    return row["id"]  # type: ignore[no-any-return]


@takes(Contract, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named. The value of a contract that has a plan is fixed: set an empty plan first."""
    row, _ = await MOVES.lock(act, "change", id, expected_version=expected_version)
    if "owner_id" in changes and changes["owner_id"] != row["owner_id"]:
        await users.assignable(act, changes["owner_id"], field="ownerId")
    if changes.get("value", ...) is None:
        raise BadUserInput("A contract has a value, which may be 0.", field="value")
    if "value" in changes:
        value = money.amount(changes.pop("value"), row["currency"], field="value")
        if value != row["value_amount"] and await act.tx.connection.fetch(PLAN, row["customer_id"], id):
            raise Conflict("The plan of payments adds up to the value; set an empty plan first.", field="value")
        changes["value_amount"] = value
    await records.change(act, Contract, row, changes, kind="contract.updated", conflicts=CONFLICTS)
    return id


async def move(
    act: Act, verb: str, *, id: UUID, expected_version: int | None = None, reason: str | None = None
) -> UUID:
    """Makes active, ends or terminates."""
    row, move = await MOVES.lock(act, verb, id, expected_version=expected_version)
    checks.check_text(reason or "", "reason", longest=1000)
    payload = {"reason": reason} if reason is not None else None
    await records.change(act, Contract, row, move.changes(act.now), kind=move.event, payload=payload)
    return id


async def set_plan(act: Act, *, id: UUID, payments: Sequence[Payment], expected_version: int | None = None) -> UUID:
    """Replaces the plan of payments, which adds up to the contract's value; the same plan changes nothing, and a payment that stays in
    its place as it is remains, so that nobody is told of it again.

    Each part is an amount, or each is a share: shares add up to 100 and are rounded by largest remainder.
    """
    contract, _ = await MOVES.lock(act, "change", id, expected_version=expected_version)
    if len(payments) > MAX_PAYMENTS:
        raise BadUserInput(f"A plan has at most {MAX_PAYMENTS} payments, not {len(payments)}.", field="payments")
    for number, each in enumerate(payments):
        checks.check_year(each.due_on, f"{_at(number)}dueOn")
        if each.owner_id is not None:
            await users.assignable(act, each.owner_id, field=f"{_at(number)}ownerId")
    amounts = _amounts(payments, contract)
    by_day = sorted(range(len(payments)), key=lambda number: payments[number].due_on)
    rows = [_row(n, payments[number], amounts[number]) for n, number in enumerate(by_day, start=1)]
    key = contract["customer_id"], id
    before = [dict(row) for row in await act.tx.connection.fetch(PLAN, *key)]
    if before == rows:
        return id
    await act.tx.connection.execute(DROP, *key, [row["n"] for row in before if row not in rows])
    payload = {"payments": len(rows)}
    await records.change(act, Contract, contract, {}, kind="contract.planSet", payload=payload, touch=True)
    own = {"customer_id": contract["customer_id"], "contract_id": id, "currency": contract["currency"]}
    new = [own | row for row in rows if row not in before]
    await records.insert_many(act, ContractPayment, new, each=lambda each: _at(by_day[new[each]["n"] - 1]))
    return id


def _amounts(payments: Sequence[Payment], contract: Row) -> list[Decimal]:
    value, currency = contract["value_amount"], contract["currency"]
    if not payments:
        return []
    for number, each in enumerate(payments):
        if (each.amount is None) == (each.share is None):
            raise BadUserInput("Give either an amount or a share.", field=f"{_at(number)}amount")
    shares = [each.share for each in payments if each.share is not None]
    if shares and len(shares) < len(payments):
        raise BadUserInput("Give amounts or shares, not both.", field="payments")
    if shares:
        if min(shares) <= 0 or sum(shares) != 100:
            raise BadUserInput("Shares are above 0 and add up to 100.", field="payments")
        amounts = recognition.shares(value, shares, currency)
    else:
        amounts = [
            money.amount(each.amount, currency, field=f"{_at(number)}amount", positive=True)
            for number, each in enumerate(payments)
            if each.amount is not None
        ]
    if sum(amounts) != value or min(amounts) <= 0:
        raise BadUserInput(
            f"The payments add up to {sum(amounts)}, the contract's value is {value} {currency}.", field="payments"
        )
    return amounts


def _row(n: int, payment: Payment, amount: Decimal) -> Row:
    return {
        "n": n,
        "due_on": payment.due_on,
        "amount": amount,
        "owner_id": payment.owner_id,
        "reminder_days": payment.reminder_days,
    }


def _at(number: int) -> str:
    return f"payments.{number}."


async def takes_orders(act: Act, contract_id: UUID, customer_id: UUID) -> None:
    """Raises `NotFound`, `BadUserInput` for another customer's contract, `IllegalTransition` for one that is over."""
    contract = await records.visible(act, Contract, contract_id, field="contractId")
    records.require_same_customer(contract, customer_id, field="contractId")
    if contract["status"] not in ("DRAFT", "ACTIVE"):
        raise IllegalTransition(f"The contract is {contract['status']}; it takes no more orders.", field="contractId")
