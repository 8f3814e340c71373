"""What a provider says of a payment, as a payment of ours: expected, received, failed.

Enters: a family of events and its state. Leaves: payments, with what they are in the books, and for each subject what became
of it. Always holds: one payment for one at the provider, whatever came how often and in which order; a received one never
becomes anything else here. Money of which nobody knows whose it is lies in suspense, until somebody does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from crmgql.domain.money import receipts, suspense
from crmgql.domain.money.hooks import methods, whose
from crmgql.domain.money.hooks.families import Family, fact
from crmgql.domain.money.hooks.whose import Whose
from crmgql.domain.money.payments import CONFLICTS, MOVES
from crmgql.domain.money.providers.facts import Fact, Kind, Rank
from crmgql.domain.money.providers.order import WHOLE, State, Subject
from crmgql.domain.money.receipts import Taken
from crmgql.events import outbox
from crmgql.models import Payment, ProviderEventStatus
from crmgql.models.names import api_id
from crmgql.records import records
from crmgql.records.records import Act, Row

LONGEST_REFERENCE = 100
NOT_RECEIVED = "Its payment is not received here yet."
# Parameters: provider, names, ids.
OURS = """
SELECT * FROM payments WHERE (provider = $1 AND provider_reference = ANY ($2)) OR id = ANY ($3) ORDER BY id FOR NO KEY UPDATE"""
# Parameters: provider, references, amount, currency. What lies in suspense, or lay there and went back.
IN_SUSPENSE = """
SELECT * FROM suspense_receipts WHERE provider = $1 AND provider_reference = ANY ($2) AND (amount, currency) = ($3, $4)
    AND status <> 'ASSIGNED'
ORDER BY id FOR NO KEY UPDATE"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a subject. `reason`: why it waits, or why nothing was to be done. `payment`: the one of ours."""

    status: ProviderEventStatus
    reason: str | None = None
    payment: Row | None = None


Outcomes = dict[Subject, Outcome]


def done(payment: Row | None = None) -> Outcome:
    return Outcome(ProviderEventStatus.DONE, None, payment)


def waits(reason: str, payment: Row | None = None) -> Outcome:
    return Outcome(ProviderEventStatus.WAITING, reason, payment)


def noted(reason: str, payment: Row | None = None) -> Outcome:
    return Outcome(ProviderEventStatus.NOTED, reason, payment)


@dataclass(slots=True)
class Payments:
    """Those of one family. `taken`: which of them stands for which capture. `changed` have to be posted. `receipts`: what of money in
    suspense is spoken for, and `taken_over`: what it gives to payments."""

    act: Act
    family: Family
    state: State
    rows: dict[UUID, Row]
    taken: dict[str, UUID]
    whose: Whose | str | None = None
    changed: set[UUID] = field(default_factory=set)
    receipts: set[UUID] = field(default_factory=set)
    taken_over: dict[UUID, Taken] = field(default_factory=dict)

    @classmethod
    async def of(cls, act: Act, family: Family, state: State) -> Payments:
        """Ours that the family is about, locked."""
        linked = {row["payment_id"] for row in family.rows if row["payment_id"] is not None}
        given = (family.provider, sorted(family.names), sorted(linked))
        rows = {row["id"]: dict(row) for row in await act.tx.connection.fetch(OURS, *given)}
        taken = {
            row["part"]: row["payment_id"]
            for row in family.rows
            if row["payment_id"] is not None and row["part"] and fact(row).kind.family == "PAYMENT"
        }
        return cls(act, family, state, rows, taken)

    @property
    def received(self) -> list[Row]:
        """The oldest first."""
        return [row for _, row in sorted(self.rows.items()) if row["status"] == "RECEIVED"]

    async def book(self) -> Outcomes:
        """Makes, receives and fails payments. Raises `PeriodClosed`, `RateMissing`; `Conflict` if somebody was faster."""
        found = {subject: each for subject, each in self.state.standing.items() if subject[0] == "PAYMENT"}
        parts = sorted(
            (each for subject, each in found.items() if subject[1] != WHOLE), key=lambda each: each.occurred_at
        )
        outcomes: Outcomes = {}
        for each in parts:
            outcomes["PAYMENT", each.part or WHOLE] = await self._one(each)
        if (whole := found.get(("PAYMENT", WHOLE))) is not None:
            captured = [each for each in parts if each.moves_money]
            outcomes["PAYMENT", WHOLE] = done(self._main()) if captured else await self._one(whole)
        await self._post()
        return {subject: self._fresh(outcome) for subject, outcome in outcomes.items()}

    async def _one(self, said: Fact) -> Outcome:
        """What becomes of the payment, or of one capture of it."""
        ours = self._for(said)
        if said.moves_money:
            return await self._receive(said, ours)
        if said.kind is Kind.PAYMENT_FAILED:
            return await self._fail(said, ours)
        if ours is not None:
            return done(ours)
        if said.rank < Rank.MOVING:
            return noted("Nothing is on its way yet.")
        if not said.amount:
            return noted("There is nothing to pay.")
        return await self._make(said, "PENDING")

    async def _receive(self, said: Fact, ours: Row | None) -> Outcome:
        if not said.amount:
            return noted("There was nothing to pay.")
        if ours is None:
            return await self._make(said, "RECEIVED")
        if (ours["amount"], ours["currency"]) == (said.amount, said.currency):
            return done(ours if ours["status"] == "RECEIVED" else await self._move(ours, "receive", said))
        if ours["status"] == "RECEIVED":
            recorded = f"{api_id('Payment', ours['id'])} is recorded with {ours['amount']} {ours['currency']}"
            return waits(f"{recorded}, the provider received {said.amount} {said.currency}.", ours)
        return await self._make(said, "RECEIVED", instead=ours)

    async def _fail(self, said: Fact, ours: Row | None) -> Outcome:
        if ours is None:
            return noted("No payment of ours was expected.")
        if ours["status"] == "PENDING":
            return done(await self._move(ours, "fail", said))
        if ours["status"] == "RECEIVED":
            return waits(f"{api_id('Payment', ours['id'])} is received here; the provider says that it failed.", ours)
        return done(ours)

    def _for(self, said: Fact) -> Row | None:
        """Ours for what is said: that of the capture, else that of the whole which no other capture has."""
        if said.part is None:
            return self._main()
        by_reference = {row["provider_reference"]: row for row in self.rows.values()}
        if said.part in self.taken:
            return self.rows[self.taken[said.part]]
        if said.part in by_reference:
            return by_reference[said.part]
        main = self._main()
        if main is None or main["id"] in self.taken.values() or said.kind is Kind.PAYMENT_FAILED:
            return None
        if main["status"] == "RECEIVED" and (main["amount"], main["currency"]) != (said.amount, said.currency):
            return None
        self.taken[said.part] = main["id"]
        return main

    def _main(self) -> Row | None:
        """That of the whole payment."""
        parts = {part for (_, part) in self.state.standing}
        main = [row for row in self.rows.values() if row["provider_reference"] not in parts]
        return min(main, key=lambda row: (row["status"] != "RECEIVED", row["id"]), default=None)

    async def _make(self, said: Fact, status: str, *, instead: Row | None = None) -> Outcome:
        """A new payment. `instead`: one of another amount, which gives its reference to the new one."""
        self.whose = self.whose or await whose.find(self.act, self.family, self.state.orders)
        if instead is not None:
            found: Whose | str = Whose(instead["customer_id"], instead["order_id"], instead["currency"])
        else:
            found = self.whose
        if isinstance(found, str) and status != "RECEIVED":
            return noted(found)
        receipt = await self._receipt(said) if status == "RECEIVED" else None
        if receipt is not None and receipt["status"] == "RETURNED":
            return noted(f"It lay in suspense and went back: {api_id('SuspenseReceipt', receipt['id'])}.")
        if isinstance(found, str):
            if receipt is None:
                await self._suspend(said)
            return waits(found)
        reference = said.reference or said.part
        if instead is not None:
            await self._step_aside(instead)
        elif reference in {row["provider_reference"] for row in self.rows.values()}:
            reference = said.part
        values = {
            "customer_id": found.customer_id,
            "order_id": found.order_id if found.currency == said.currency else None,
            "status": status,
            "received_at": said.occurred_at if status == "RECEIVED" else None,
            "provider_reference": reference,
            "suspense_id": None if receipt is None else receipt["id"],
            **self._told(said),
        }
        kind = "payment.received" if status == "RECEIVED" else "payment.expected"
        payload = {"amount": (said.amount, said.currency)}
        row = await records.create(self.act, Payment, values, kind=kind, conflicts=CONFLICTS, payload=payload)
        if receipt is not None:
            self.taken_over[row["id"]] = await suspense.take_over(self.act, receipt, row["id"])
        self._note(row, said)
        return done(row)

    def _told(self, said: Fact) -> Row:
        named = sorted(self.state.orders)
        return {
            "amount": said.amount,
            "currency": said.currency,
            "method": methods.of(said.provider, said.method, self.family.rows[0]["default_method"]),
            "reference": named[0][:LONGEST_REFERENCE] if named else None,
            "provider": said.provider,
        }

    async def _receipt(self, said: Fact) -> Row | None:
        """What lies in suspense of it, if it came before anybody knew whose it is: that of the capture before that of the whole."""
        others = {part for _, part in self.state.standing} - {said.part}
        given = (said.provider, sorted(self.family.names - others), said.amount, said.currency)
        found = await self.act.tx.connection.fetch(IN_SUSPENSE, *given)
        free = [dict(row) for row in found if row["id"] not in self.receipts]
        first = min(free, key=lambda row: row["provider_reference"] != said.part, default=None)
        if first is not None:
            self.receipts.add(first["id"])
        return first

    async def _suspend(self, said: Fact) -> None:
        values = {
            "received_at": said.occurred_at,
            "provider_reference": said.part or said.reference,
            **self._told(said),
        }
        self.receipts.add((await suspense.record(self.act, values))["id"])

    async def _step_aside(self, ours: Row) -> None:
        """It was expected with another amount and will not come: it ends, and its reference says so."""
        changes = {"provider_reference": f"{ours['provider_reference']} expected"}
        kind, payload = "payment.updated", {}
        if ours["status"] == "PENDING":
            changes |= MOVES["cancel"].changes(self.act.now)
            kind, payload = MOVES["cancel"].event, {"amount": (ours["amount"], ours["currency"])}
        row = await records.change(self.act, Payment, ours, changes, kind=kind, payload=payload, conflicts=CONFLICTS)
        self._note(row)

    async def _move(self, ours: Row, verb: str, said: Fact) -> Row:
        """Also what failed or was cancelled here is received when the provider says that it was."""
        move, payload = MOVES[verb], {"amount": (ours["amount"], ours["currency"])}
        changes = move.changes(said.occurred_at)
        row = await records.change(self.act, Payment, ours, changes, kind=move.event, payload=payload)
        self._note(row, said)
        return row

    def _note(self, row: Row, said: Fact | None = None) -> None:
        self.rows[row["id"]] = row
        self.changed.add(row["id"])
        if said is not None and said.part is not None:
            self.taken[said.part] = row["id"]

    async def _post(self) -> None:
        if self.changed:
            events = await receipts.follow(self.act, self.changed, taken=self.taken_over)
            await outbox.record_many(self.act.tx, self.act.viewer, events)

    def _fresh(self, outcome: Outcome) -> Outcome:
        if outcome.payment is None:
            return outcome
        return Outcome(outcome.status, outcome.reason, self.rows[outcome.payment["id"]])
