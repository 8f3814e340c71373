"""What a provider says of payouts, as payouts of ours: expected, paid, failed.

Enters: the facts that stand. Leaves: payouts, and for each what became of it. Always holds: one payout for one at the provider.
"""

from __future__ import annotations

from collections.abc import Mapping

from crmgql.domain.money import payouts
from crmgql.domain.money.hooks.bookings import Outcome, Outcomes, done, noted, waits
from crmgql.domain.money.providers.facts import Fact, Kind
from crmgql.domain.money.providers.order import Subject
from crmgql.models.names import api_id
from crmgql.records.records import Act, Row

OURS = "SELECT * FROM payouts WHERE provider = $1 AND reference = $2 FOR NO KEY UPDATE"
BECOMES = {Kind.PAYOUT_EXPECTED: "EXPECTED", Kind.PAYOUT_PAID: "PAID", Kind.PAYOUT_FAILED: "FAILED"}


async def book_all(act: Act, standing: Mapping[Subject, Fact]) -> Outcomes:
    """Records and moves payouts. Raises `Conflict` if somebody was faster, `RateMissing`, `PeriodClosed`."""
    found = sorted((subject, each) for subject, each in standing.items() if subject[0] == "PAYOUT")
    return {subject: await _one(act, each) for subject, each in found}


async def _one(act: Act, said: Fact) -> Outcome:
    if not said.amount or said.currency is None or said.reference is None:
        return noted("Nothing is paid out.")
    net = (said.amount, said.currency)
    row = await act.tx.connection.fetchrow(OURS, said.provider, said.reference)
    if row is None:
        if said.kind is Kind.PAYOUT_FAILED:
            return noted("No payout of ours was expected.")
        is_paid = said.kind is Kind.PAYOUT_PAID
        await payouts.record(
            act,
            provider=said.provider,
            reference=said.reference,
            net=net,
            pending=not is_paid,
            paid_at=said.occurred_at if is_paid else None,
        )
        return done()
    if (row["net_amount"], row["currency"]) != net:
        recorded = f"{api_id('Payout', row['id'])} is recorded with {row['net_amount']} {row['currency']}"
        return waits(f"{recorded}, the provider says {said.amount} {said.currency}.")
    return await _follow(act, dict(row), said)


async def _follow(act: Act, ours: Row, said: Fact) -> Outcome:
    id, becomes = ours["id"], BECOMES[said.kind]
    if becomes in (ours["status"], "EXPECTED"):
        return done()
    if becomes == "FAILED":
        await payouts.fail(act, id=id, reason="The provider says that it failed.")
    elif ours["paid_at"] is None:  # it may have failed here, and was paid all the same
        await payouts.pay(act, ours, payouts.MOVES["receive"].changes(said.occurred_at))
    else:
        return waits(f"{api_id('Payout', id)} was paid and went back; the provider says that it is paid.")
    return done()
