"""What a provider says of disputes, as disputes of ours: opened, won, lost.

Enters: the facts that stand, and the family's received payments. Leaves: disputes, and for each what became of it. Always holds:
one that is decided before we heard of it is opened first, so that the same events come to the same in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from crmgql.domain.money import disputes
from crmgql.domain.money.hooks.bookings import NOT_RECEIVED, Outcome, Outcomes, done, waits
from crmgql.domain.money.hooks.families import Family
from crmgql.domain.money.providers.facts import Fact, Kind
from crmgql.domain.money.providers.order import State
from crmgql.models.names import api_id
from crmgql.records.records import Act, Row

OURS = "SELECT * FROM disputes WHERE provider = $1 AND provider_reference = $2 FOR NO KEY UPDATE"
ENDS = {Kind.DISPUTE_WON: ("WON", disputes.win), Kind.DISPUTE_LOST: ("LOST", disputes.lose)}


@dataclass(slots=True)
class Chargebacks:
    act: Act
    family: Family
    state: State
    payments: Sequence[Row]

    async def book(self) -> Outcomes:
        """Raises what `disputes.open`, `win` and `lose` raise."""
        found = {subject: each for subject, each in self.state.standing.items() if subject[0] == "DISPUTE"}
        in_time = sorted(found.items(), key=lambda pair: (pair[1].occurred_at, pair[0]))
        return {subject: await self._one(each) for subject, each in in_time}

    async def _one(self, said: Fact) -> Outcome:
        row = await self.act.tx.connection.fetchrow(OURS, said.provider, said.part)
        payment = self._payment(said, row and row["payment_id"])
        if payment is None:
            return waits(NOT_RECEIVED)
        if row is None:
            id, status = await self._open(said, payment), "OPEN"
        else:
            id, status = row["id"], row["status"]
        if said.kind in ENDS:
            becomes, end = ENDS[said.kind]
            if status == "OPEN":
                await end(self.act, id=id, ended_at=said.occurred_at)
            elif status != becomes:
                return waits(
                    f"{api_id('Dispute', id)} is {status} here; the provider says that it is {becomes}.", payment
                )
        return done(payment)

    async def _open(self, said: Fact, payment: Row) -> UUID:
        return await disputes.open(
            self.act,
            payment_id=payment["id"],
            amount=None if said.amount is None or said.currency is None else (said.amount, said.currency),
            opened_at=self._opened_at(said),
            provider=said.provider,
            provider_reference=said.part,
        )

    def _opened_at(self, said: Fact) -> datetime:
        """When the first event of the dispute happened that is known."""
        return min(each.occurred_at for each in self.family.facts if each.part == said.part)

    def _payment(self, said: Fact, id: UUID | None) -> Row | None:
        """That of our dispute, else the oldest that is large enough."""
        if id is not None:
            return next((row for row in self.payments if row["id"] == id), None)
        fits = (
            row for row in self.payments if row["currency"] == said.currency and row["amount"] >= (said.amount or 0)
        )
        return next(fits, self.payments[0] if self.payments else None)
