"""Payouts: what payment providers pay into our bank, expected, paid, failed.

Always holds: a paid one has left what lies at the provider and reached the bank, in the company's own books; one that failed has not.
Whether its parts add up is what reconciliation asks.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput
from crmgql.ledger import book, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Payout, Purpose
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.days import day_of
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

CONFLICTS = {
    "payouts_reference": ("reference", "This provider's payout is recorded already."),
}
MOVES = Moves(
    Payout,
    receive=Move({"EXPECTED"}, "PAID", "payout.paid", "paid_at"),
    fail=Move({"EXPECTED", "PAID"}, "FAILED", "payout.failed"),
)
ENTRY = "SELECT id FROM ledger_entries WHERE owner_id = $1 AND key = $2"


@takes(Payout, "arrives_on fees_booked", ORIGIN)
async def record(
    act: Act,
    *,
    provider: str,
    reference: str,
    net: Money,
    gross: Money | None = None,
    refunds: Money | None = None,
    fees: Money | None = None,
    reserve: Money | None = None,
    pending: bool | None = None,
    paid_at: datetime | None = None,
    **more: Any,
) -> UUID:
    """Records a payout that arrived or, if `pending`, is expected. `net` and `reserve` may be less than 0; `reserve` is what the provider
    keeps back, as a minus, or gives free.

    `more`: `fees_booked`, off if the fees are in the books with no payment, …. Raises `BadUserInput`, `CurrencyMismatch`, `Conflict` for
    one that is recorded already, `RateMissing`, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Payout")
    if pending and paid_at is not None:
        raise BadUserInput("A payout that is expected was not paid yet; leave one of the two out.", field="paidAt")
    checks.check_happened(paid_at, act.now, "paidAt")
    currency = net[1]
    parts = {"gross": gross, "refunds": refunds, "fees": fees}
    values: Row = {
        "provider": provider,
        "reference": reference,
        "currency": currency,
        "net_amount": _signed(net, currency, field="net"),
        "reserve_amount": None if reserve is None else _signed(reserve, currency, field="reserve"),
        **{
            f"{name}_amount": money.amount(each, currency, field=name)
            for name, each in parts.items()
            if each is not None
        },
        "status": "EXPECTED" if pending else "PAID",
        "paid_at": None if pending else paid_at or act.now,
        **more,
    }
    if not values["net_amount"]:
        raise BadUserInput("A payout of nothing is none.", field="net")
    if values.get("fees_booked") is False and not values.get("fees_amount"):
        raise BadUserInput("Fees that are not in the books yet are to be named.", field="fees")
    kind = "payout.expected" if pending else "payout.paid"
    payout = await records.create(act, Payout, values, kind=kind, conflicts=CONFLICTS, payload={"amount": net})
    if not pending:
        await book.post(act, [await _entry(act, payout)])
    return payout["id"]  # type: ignore[no-any-return]


async def receive(act: Act, *, id: UUID, expected_version: int | None = None, paid_at: datetime | None = None) -> UUID:
    """It arrived at the bank. Raises `IllegalTransition`, `RateMissing`, `PeriodClosed`."""
    payout, move = await MOVES.lock(act, "receive", id, expected_version=expected_version)
    checks.check_happened(paid_at, act.now, "paidAt")
    await pay(act, payout, move.changes(paid_at or act.now))
    return id


async def pay(act: Act, payout: Row, changes: Row) -> None:
    """Posts a locked payout that was not paid."""
    after = await records.change(act, Payout, payout, changes, kind="payout.paid", payload=_payload(payout))
    await book.post(act, [await _entry(act, after)])


async def fail(act: Act, *, id: UUID, reason: str | None = None, expected_version: int | None = None) -> UUID:
    """It did not arrive, or the bank sent it back: what was posted is taken back today, not before it was paid. Raises `IllegalTransition`, `PeriodClosed`."""
    if reason is not None:
        checks.check_text(reason, "reason", longest=1000)
    payout, move = await MOVES.lock(act, "fail", id, expected_version=expected_version)
    after = move.changes(act.now) | {"status_reason": reason}
    await records.change(act, Payout, payout, after, kind=move.event, payload=_payload(payout))
    if payout["status"] == "PAID":
        own = await book.company_of(act)
        entry = await act.tx.connection.fetchval(ENTRY, own.id, _key(payout))
        is_adjusting = periods.adjusts(act)
        day = max(act.today, day_of(payout["paid_at"], own.zone))
        await book.post(act, await book.reversals(act, {entry: day}, kind=move.event, is_adjusting=is_adjusting))
    return id


def _signed(sent: Money, currency: str, *, field: str) -> Decimal:
    """An amount that may be less than 0."""
    exact = money.amount((abs(sent[0]), sent[1]), currency, field=field)
    return -exact if sent[0] < 0 else exact


def _payload(payout: Row) -> Row:
    return {"amount": (payout["net_amount"], payout["currency"])}


def _key(payout: Row) -> str:
    return f"paid {payout['id']}"


async def _entry(act: Act, payout: Row) -> Entry:
    """What leaves the provider: to the bank, or from it; and the fees that are in the books with no payment."""
    own = await book.company_of(act)
    currency, day = payout["currency"], day_of(payout["paid_at"], own.zone)
    rate = (await rates.on_day(act, currency, day)).rate
    net, fees = payout["net_amount"], None if payout["fees_booked"] else payout["fees_amount"]

    def moved(to: Purpose, amount: Decimal) -> Posting:
        return Posting(
            Account(Purpose.CLEARING), Account(to), currency, amount, rates.converted(amount, rate, own.currency)
        )

    postings = [moved(Purpose.BANK, net) if net > 0 else moved(Purpose.BANK, -net).back]
    if fees:
        postings.append(moved(Purpose.FEES, fees))
    source = ("Payout", payout["id"])
    return Entry("payout.paid", _key(payout), source, day, postings, is_adjusting=periods.adjusts(act))
