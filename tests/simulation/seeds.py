"""One seed: a history of requests, alone and together, asked twice, cut off and asked again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from uuid import UUID

import asyncpg

from crmgql.engine.operations import Engine
from crmgql.ledger import verify
from tests.schema.world import id_of
from tests.simulation import besides, invariants
from tests.simulation.besides import Answered
from tests.simulation.company import Asked, Company, Document
from tests.simulation.documents import STEPS
from tests.simulation.turns import Cut, Turns

TROUBLE = frozenset({"SERVICE_UNAVAILABLE", "TIMEOUT"})
"""What a client asks again after."""

MOST_TRIES = 6
MOST_DRAWS = 5
"""Of a step, until there is one that the company has something for."""

ENOUGH = 8
"""Connections, for requests that run together never to wait for one: that would be a matter of time."""

AS_NEW = """
BEGIN;
SET LOCAL session_replication_role = replica;
TRUNCATE postings, recognition_schedules;
COMMIT;
UPDATE companies SET write_off_tolerances = '{"USD": "0.50", "JPY": "100"}';
DELETE FROM accounting_periods;
INSERT INTO fx_rates (currency, base_currency, effective_on, rate, source)
SELECT moved.currency, base_currency, moved.effective_on, sown.rate, 'TEST'
FROM (SELECT DISTINCT currency, base_currency, effective_on FROM fx_rates WHERE source = 'MANUAL') AS moved
JOIN fx_rates AS sown USING (currency, base_currency) WHERE sown.effective_on = '2000-01-01'"""
"""Days are open, rates those of every test, and nothing of others is left to be revalued or recognised: a seed plays the same,
whatever was played before."""

DOCUMENTS = {
    "Order": "status, currency FROM orders",
    "Payment": "status, currency FROM payments",
    "Allocation": "CASE WHEN undoes_id IS NULL THEN 'MADE' END, currency FROM allocations",
    "Refund": "status, currency FROM refunds",
    "WriteOff": "CASE WHEN undoes_id IS NULL THEN 'MADE' END, currency FROM write_offs",
    "Dispute": "status, currency FROM disputes",
    "Invoice": "status, currency FROM invoices",
    "InvoiceLine": "NULL, currency FROM invoice_lines",
    "CreditNote": "NULL, currency FROM credit_notes",
}
LOOK = " UNION ALL ".join(
    [
        *(
            f"SELECT '{type}' AS type, id, customer_id, {rest} WHERE customer_id = ANY ($1)"
            for type, rest in DOCUMENTS.items()
        ),
        "SELECT 'AccountingPeriod', id, NULL, status, NULL FROM accounting_periods",
        "SELECT 'SuspenseReceipt', id, NULL, status, currency FROM suspense_receipts WHERE payer = $3",
        "SELECT 'ProviderEvent', id, NULL, status, NULL FROM provider_events WHERE event_id LIKE $2",
    ]
)
"""Parameters: customers, what the company's events of the provider are called, who sends it money without saying why."""


class Broken(AssertionError):
    """A seed's history broke a rule. Its text says which, behind which steps."""


@dataclass
class History:
    seed: int
    lines: list[str] = field(default_factory=list)
    outcomes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    cuts: int = 0

    @property
    def codes(self) -> Counter[str]:
        return Counter(code for _, codes in self.outcomes for code in codes)

    def fail(self, *reasons: str) -> None:
        raise Broken("\n".join([f"seed {self.seed}:", *self.lines, *reasons]))


async def run(engine: Engine, database: asyncpg.Connection, admin: UUID, seed: int, *, steps: int) -> History:
    """Plays a seed. Raises `Broken`."""
    dice = Random(seed)
    await database.execute(AS_NEW)
    company = await Company(engine, database, dice, admin).found(seed)
    history, turns = History(seed), Turns(database)
    made: dict[str, str] = {}
    await besides.prepare(engine.database)
    async with turns.taken():
        for _ in range(steps):
            company.wait()
            asked = _chosen(company)
            if company.chance(0.15):
                asked += asked[:1]  # a client that asks twice at once
            cuts = [_cut(dice) for _ in asked]
            for each, answer in zip(asked, await _answers(company, turns, history, asked, cuts), strict=True):
                _note(history, made, each, answer)
            await _look(database, company)
            if wrong := await invariants.check(database, company.owners):
                history.fail(*wrong)
    await _verify(database, company, history)
    return history


def _chosen(company: Company) -> list[Asked]:
    """One request, or two or three at once."""
    steps, weights = [step for _, step in STEPS], [weight for weight, _ in STEPS]
    chosen: list[Asked] = []
    for _ in range(company.dice.choice((1, 1, 1, 2, 3))):
        drawn = (step(company) for step in company.dice.choices(steps, weights, k=MOST_DRAWS))
        chosen += islice((each for each in drawn if each is not None), 1)
    return chosen


def _cut(dice: Random) -> Cut | None:
    return Cut(dice.randrange(1, 14), dice.random() < 0.5) if dice.random() < 0.35 else None


async def _answers(
    company: Company, turns: Turns, history: History, asked: list[Asked], cuts: list[Cut | None]
) -> list[Answered]:
    """The last answer to each: who is cut off asks again, under the same key."""
    history.lines += [f"  {company.now:%m-%d %H:%M} {each} {cut or ''}" for each, cut in zip(asked, cuts, strict=True)]
    works = [(lambda each=each: company.ask(each), cut) for each, cut in zip(asked, cuts, strict=True)]
    answers: list[Answered] = await turns.together(company.dice, works)  # type: ignore[arg-type]
    history.cuts += sum(each.was_cut for each in turns.requests)
    for number, each in enumerate(asked):
        for _ in range(MOST_TRIES):
            if not TROUBLE.intersection(answers[number].codes):
                break
            (answers[number],) = await turns.together(company.dice, [((lambda each=each: company.ask(each)), None)])  # type: ignore[misc]
    return answers


async def _look(database: asyncpg.Connection, company: Company) -> None:
    """What documents there are now."""
    rows = await database.fetch(f"{LOOK} ORDER BY id", company.owners, f"%{company.name}", company.name)
    for type, id, owner, status, currency in rows:
        known = Document(id_of(type, id), status, currency, owner and id_of("Customer", owner))
        company.note(type, known)


def _note(history: History, made: dict[str, str], asked: Asked, answer: Answered) -> None:
    history.lines.append(f"    {asked.mutation}: {answer.id or ', '.join(answer.codes)}")
    history.outcomes.append((asked.mutation, answer.codes or ("DONE",)))
    if "INTERNAL_SERVER_ERROR" in answer.codes or TROUBLE.intersection(answer.codes):
        history.fail("an answer says that the server failed")
    if answer.id is None:
        return
    if made.setdefault(asked.key, answer.id) != answer.id:
        history.fail(f"one key made {made[asked.key]} and {answer.id}")


async def _verify(database: asyncpg.Connection, company: Company, history: History) -> None:
    """What `audit verify` says of the customers' books."""
    for owner in company.owners:
        async with database.transaction():
            found = await verify.check(database, str(owner), str(owner))
        if found.broken:
            history.fail(*map(str, found.broken))
