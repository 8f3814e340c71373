"""What a provider says went back of a payment, as refunds of ours: those that we asked for end, others are recorded.

Enters: a family's state, and its received payments. Leaves: refunds, and for each subject what became of it. Always holds: what
went back by our books through a provider is what the provider says, whether it tells of refunds one by one, in all, or both, and
in whatever order. A payment that the provider took back as a whole is refunded as far as it was not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from crmgql.domain.money import refunds
from crmgql.domain.money.hooks.bookings import NOT_RECEIVED, Outcome, Outcomes, done, noted, waits
from crmgql.domain.money.hooks.families import Family
from crmgql.domain.money.providers.facts import Fact, Kind, Rank
from crmgql.domain.money.providers.order import TOTAL, State
from crmgql.models.names import PREFIXES, api_id
from crmgql.records.records import Act, Row

KEY = re.compile(f"{PREFIXES['Refund']}_([0-9a-f]{{32}})")
UNDER_WAY = frozenset({"REQUESTED", "UNKNOWN"})
# Parameters: provider, references, ids, payments.
OURS = """
SELECT * FROM refunds WHERE (provider = $1 AND provider_reference = ANY ($2)) OR id = ANY ($3) OR payment_id = ANY ($4)
ORDER BY id FOR NO KEY UPDATE"""


@dataclass(slots=True)
class Returns:
    """Refunds of one family's payments."""

    act: Act
    family: Family
    state: State
    payments: Sequence[Row]

    async def book(self) -> Outcomes:
        """Raises what `refunds.record`, `succeed` and `end` raise."""
        standing = self.state.standing
        found = [(subject, each) for subject, each in standing.items() if subject[0] in ("REFUND", TOTAL)]
        reversed_ = [(subject, each) for subject, each in standing.items() if _is_reversed(each)]
        outcomes: Outcomes = {}
        # Those that are named come first: a total says only what they leave open.
        for subject, each in sorted(found, key=lambda pair: (pair[0][0] == TOTAL, pair[1].occurred_at, pair[0])):
            outcomes[subject] = await (self._in_all(each) if each.cumulative else self._one(each))
        for subject, each in reversed_ if self.payments else ():
            outcomes[subject] = await self._whole(each)
        return outcomes

    async def _one(self, said: Fact) -> Outcome:
        ours = await self._ours()
        ids = self._ids(said.part)
        mine = [row for row in ours if row["provider_reference"] == said.part or row["id"] in ids]
        payment = self._payment(said)
        if said.kind is Kind.REFUND_SUCCEEDED:
            return await self._succeed(said, mine, ours, payment)
        if said.kind is Kind.REFUND_FAILED:
            return await self._fail(said, mine, ours, payment)
        return done(payment) if mine else noted("A refund that we did not ask for is under way there.", payment)

    async def _succeed(self, said: Fact, mine: list[Row], ours: list[Row], payment: Row | None) -> Outcome:
        for row in mine:
            if row["status"] in UNDER_WAY:
                await refunds.succeed(
                    self.act, id=row["id"], provider_reference=said.part, refunded_at=said.occurred_at
                )
            elif row["status"] != "SUCCEEDED":
                return waits(
                    f"{api_id('Refund', row['id'])} is {row['status']} here; the provider says it succeeded.", payment
                )
            return done(payment)
        if payment is None:
            return waits(NOT_RECEIVED)
        amount, currency = said.amount or Decimal(0), said.currency or ""
        if self._booked(ours, currency) + amount <= self._refunded(currency):  # else it was told of before, in all
            await self._record(payment, said, amount, str(said.part))
        return done(payment)

    async def _fail(self, said: Fact, mine: list[Row], ours: list[Row], payment: Row | None) -> Outcome:
        if not mine:  # it may have been booked when the provider told of it in all
            mine = self._told_in_all(said, ours)
        if not mine:
            return noted("No refund of ours failed.", payment)
        if mine[0]["status"] in UNDER_WAY | {"SUCCEEDED"}:
            await refunds.end(self.act, "fail", id=mine[0]["id"], reason=f"{said.provider}: {said.raw_kind}")
        return done(payment)

    def _told_in_all(self, said: Fact, ours: Sequence[Row]) -> list[Row]:
        """One of this amount that has no name of the provider's, if more is booked than went back."""
        amount, currency = said.amount or Decimal(0), said.currency or ""
        if self._booked(ours, currency) - self._refunded(currency) < amount:
            return []
        named = {part for _, part in self.state.standing}
        unnamed = [row for row in ours if row["provider_reference"] not in named and row["status"] == "SUCCEEDED"]
        return [row for row in unnamed if (row["amount"], row["currency"]) == (amount, currency)][:1]

    async def _in_all(self, said: Fact) -> Outcome:
        payment, ours = self._payment(said), await self._ours()
        if payment is None:
            return waits(NOT_RECEIVED)
        currency = said.currency or ""
        missing = self._refunded(currency) - self._booked(ours, currency)
        if missing <= 0:
            return done(payment)
        going = [row for row in ours if row["status"] in UNDER_WAY]
        if len(going) == 1 and going[0]["amount"] == missing:
            await refunds.succeed(self.act, id=going[0]["id"], refunded_at=said.occurred_at)
        elif going:
            return waits(
                "Refunds of ours are under way: which of them went back, the provider has not said yet.", payment
            )
        else:
            await self._record(payment, said, missing, f"{said.reference} {self._refunded(currency)}")
        return done(payment)

    async def _whole(self, said: Fact) -> Outcome:
        """The provider took the payment, or a capture, back."""
        reference = f"{said.part or said.reference} reversed"
        payment = self._payment(said)
        if payment is not None and all(row["provider_reference"] != reference for row in await self._ours()):
            await self._record(payment, said, None, reference)
        return done(payment)

    async def _record(self, payment: Row, said: Fact, amount: Decimal | None, reference: str) -> None:
        await refunds.record(
            self.act,
            payment_id=payment["id"],
            amount=None if amount is None else (amount, payment["currency"]),
            refunded_at=said.occurred_at,
            provider=said.provider,
            provider_reference=reference,
            method=payment["method"],
        )

    async def _ours(self) -> list[Row]:
        references = [*self.family.names, *(f"{name} reversed" for name in self.family.names)]
        payments = [row["id"] for row in self.payments]
        rows = await self.act.tx.connection.fetch(OURS, self.family.provider, references, sorted(self._ids()), payments)
        return [dict(row) for row in rows]

    def _ids(self, part: str | None = None) -> set[UUID]:
        """Of ours that the provider names by the key that we gave: of one part, or of all. Not each fact of a refund has it."""
        facts = (each for each in self.family.facts if part is None or each.part == part)
        return {UUID(match[1]) for each in facts if (match := KEY.fullmatch(each.key or ""))}

    def _booked(self, ours: Sequence[Row], currency: str) -> Decimal:
        """What went back by our books, through this provider."""
        return sum(
            (
                row["amount"]
                for row in ours
                if (row["status"], row["provider"], row["currency"]) == ("SUCCEEDED", self.family.provider, currency)
            ),
            Decimal(0),
        )

    def _refunded(self, currency: str) -> Decimal:
        """What went back, as the provider says."""
        return self.state.refunded.get(currency, Decimal(0))

    def _payment(self, said: Fact) -> Row | None:
        """The oldest of the payments that is large enough."""
        fits = (
            row for row in self.payments if row["currency"] == said.currency and row["amount"] >= (said.amount or 0)
        )
        return next(fits, self.payments[0] if self.payments else None)


def _is_reversed(said: Fact) -> bool:
    return said.kind is Kind.PAYMENT_FAILED and said.rank >= Rank.REVERSED
