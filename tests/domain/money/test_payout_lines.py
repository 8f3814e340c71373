"""Payouts and the bank lines that bring them: matched, posted once, released, taken back; and what reconciliation says of the others."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money import payouts, suspense
from crmgql.domain.money.banking import arrivals, booking, lines
from crmgql.domain.money.banking.arrivals import Payout
from crmgql.domain.money.banking.booking import Choice
from crmgql.errors import BadUserInput, Conflict, IllegalTransition
from crmgql.ledger import rules
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money import test_banking as bank
from tests.domain.money.test_banking import account, came, file, only, suggested
from tests.domain.money.test_receipts import pay
from tests.domain.sales.test_revenue import balances, confirmed
from tests.ledger.conftest import acting

__all__ = ["account"]

CARD: dict[str, Any] = {"provider": "stripe", "provider_reference": "pi_1"}
ARRIVES = date(2026, 11, 20)
EVERYBODY = (UUID(int=0), UUID(int=2**128 - 1), 10)
FOUND = "SELECT kind, amount, finding FROM reconciliation_exceptions WHERE status = 'OPEN' AND kind LIKE 'PAYOUT%' ORDER BY kind"


@pytest_asyncio.fixture(autouse=True)
async def finance(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database, "Fin", roles=["FINANCE"])


def usd(amount: str) -> tuple[Decimal, str]:
    return Decimal(amount), "USD"


async def expected(crm: db.Database, net: str = "9.50", *, reference: str = "po_1QxZ77", **more: Any) -> UUID:
    given = {"pending": True, "arrives_on": ARRIVES, **more}
    async with acting(crm) as act:
        return await payouts.record(act, provider="stripe", reference=reference, net=usd(net), **given)


async def match(crm: db.Database, database: asyncpg.Connection) -> dict[str, int]:
    """What the first job did, be it that of an import; others follow."""
    first, *_ = await work.run_all(crm, database, kinds.BANK_LINES_MATCH, now=NOW)
    await work.run_all(crm, database, kinds.BANK_LINES_MATCH, now=NOW)
    return first  # type: ignore[no-any-return]


async def taken(crm: db.Database, database: asyncpg.Connection, account: UUID, *entries: Any) -> dict[str, int]:
    await bank.take(crm, account, file(*entries))
    return await match(crm, database)


async def status(database: asyncpg.Connection) -> str:
    return await database.fetchval("SELECT status FROM payouts")  # type: ignore[no-any-return]


async def broken(database: asyncpg.Connection) -> list[str]:
    found = []
    for rule in rules.RULES:
        if rule.name in ("bankLines", "payouts"):
            found += [row["what"] for row in await database.fetch(rule.sql, *EVERYBODY)]
    return found


async def reconciled(crm: db.Database, database: asyncpg.Connection, days: int) -> list[tuple[str, str]]:
    await work.run(crm, database, kinds.MONEY_RECONCILE, now=NOW + timedelta(days=days))
    return [(row["kind"], str(row["amount"])) for row in await database.fetch(FOUND)]


async def test_a_line_that_names_a_payout_brings_it_once(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await pay(crm, "10.00", order_id=order, **CARD)
    id = await expected(crm, gross=usd("10.00"), fees=usd("0.50"), fees_booked=False)
    assert await taken(crm, database, account, came("9.50", "STRIPE PAYOUT po_1QxZ77", name="Stripe")) == {
        "lines": 1,
        "booked": 1,
        "suggested": 0,
    }
    line = await only(database)
    assert (line["status"], line["payout_id"], line["customer_id"]) == ("BOOKED", id, None)
    assert await balances(database) == {
        "BANK": ("9.50", "9.50"),
        "FEES": ("0.50", "0.50"),
        "REVENUE": ("-10.00", "-10.00"),
    }
    assert await match(crm, database) == {"lines": 0, "booked": 0, "suggested": 0}
    day = "SELECT effective_on FROM ledger_entries WHERE kind = 'payout.paid'"
    assert [row[0] for row in await database.fetch(day)] == [ARRIVES]  # the bank's
    told = [row[0] for row in await database.fetch("SELECT kind FROM events ORDER BY id")]
    assert told[-2:] == ["payout.paid", "bankLine.booked"]
    assert await broken(database) == []


async def test_what_the_provider_said_before_is_not_posted_again(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    await expected(crm, pending=False, arrives_on=None, paid_at=NOW + timedelta(days=18))
    assert (await taken(crm, database, account, came("9.50", "po_1QxZ77")))["booked"] == 1
    assert await balances(database) == {"BANK": ("9.50", "9.50"), "CLEARING": ("-9.50", "-9.50")}
    assert await database.fetchval("SELECT count(*) FROM ledger_entries") == 1


async def test_what_the_provider_takes_is_a_line_that_went_out(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    await expected(crm, "-3.00")
    assert (await taken(crm, database, account, came("-3.00", "po_1QxZ77")))["booked"] == 1
    assert await balances(database) == {"BANK": ("-3.00", "-3.00"), "CLEARING": ("3.00", "3.00")}


async def test_without_a_reference_somebody_decides(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    id = await expected(crm)
    assert (await taken(crm, database, account, came("9.50", "Transfer", name="Stripe Payments")))["booked"] == 0
    (found,) = await suggested(database)
    assert (found["certainty"], found["payout_id"], found["customer_id"]) == ("LIKELY", id, None)
    assert found["reasons"] == [
        "The amount is the net of payout po_1QxZ77.",
        "It was expected on 2026-11-20.",
        "The line names stripe.",
    ]
    await bank.accept(crm, (await only(database))["id"], suggestion_id=found["id"])
    assert await status(database) == "PAID"
    with pytest.raises(IllegalTransition):
        await bank.accept(crm, (await only(database))["id"], payout_id=id)


async def test_another_amount_is_an_exception(crm: db.Database, database: asyncpg.Connection, account: UUID) -> None:
    id = await expected(crm)
    assert (await taken(crm, database, account, came("9.00", "po_1QxZ77")))["booked"] == 0
    (found,) = await suggested(database)
    assert found["reasons"][1] == "It is 0.50 USD less than its net of 9.50 USD."
    line = (await only(database))["id"]
    for what in ({"suggestion_id": found["id"]}, {"payout_id": id}):
        with pytest.raises(BadUserInput, match="choose one of the same amount") as refused:
            await bank.accept(crm, line, **what)
        assert refused.value.field == "payoutId"
    for _ in range(2):
        assert await reconciled(crm, database, 20) == [("PAYOUT_BANK_DIFFERS", "-0.50")]
    finding = await database.fetchval("SELECT finding FROM reconciliation_exceptions")
    assert finding == "The bank's line of 2026-11-20 names it with 9.00 USD; it is 9.50."
    async with acting(crm) as act:
        await lines.ignore(act, id=line, reason="Another one.")
    assert await reconciled(crm, database, 20) == []


async def test_one_that_does_not_arrive_is_late(crm: db.Database, database: asyncpg.Connection, account: UUID) -> None:
    await expected(crm)
    assert await reconciled(crm, database, 22) == []  # 23 November is the third day
    assert await reconciled(crm, database, 23) == [("PAYOUT_LATE", "9.50")]
    await database.execute("UPDATE companies SET payout_days = 10")
    assert await reconciled(crm, database, 23) == []
    assert await reconciled(crm, database, 30) == [("PAYOUT_LATE", "9.50")]
    await taken(crm, database, account, came("9.50", "po_1QxZ77"))
    assert await reconciled(crm, database, 30) == []


async def test_one_that_is_paid_by_the_provider_s_word_is_late_where_the_bank_would_show_it(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    await expected(crm, pending=False, arrives_on=None, paid_at=NOW + timedelta(days=10))
    assert await reconciled(crm, database, 60) == []  # no statement yet
    rows = [f"2026-11-{day},1.00,{n + 1}.00,A,DE1,x{day},b{day}\n" for n, day in enumerate(("10", "14"))]
    await bank.take(crm, account, "".join([bank.HEAD, *rows]).encode())
    assert await reconciled(crm, database, 60) == []  # which ends within its days
    last = "2026-11-15,1.00,3.00,A,DE1,x15,b15\n"
    await bank.take(crm, account, "".join([bank.HEAD, *rows, last]).encode())
    assert await reconciled(crm, database, 60) == [("PAYOUT_LATE", "9.50")]
    finding = await database.fetchval("SELECT finding FROM reconciliation_exceptions WHERE kind = 'PAYOUT_LATE'")
    assert finding == (
        "9.50 USD was paid by the provider's word, due on 2026-11-11; no line of the bank's statements is it."
    )


async def test_a_line_that_was_none_is_released(crm: db.Database, database: asyncpg.Connection, account: UUID) -> None:
    id = await expected(crm)
    await taken(crm, database, account, came("9.50", "po_1QxZ77", own_id="b1"))
    line = (await only(database))["id"]
    async with acting(crm) as act:
        await lines.release(act, id=line, reason="It was last year's.")
    row = await only(database)
    assert (row["status"], row["status_reason"], row["payout_id"]) == ("IGNORED", "It was last year's.", None)
    assert await status(database) == "EXPECTED"
    assert await balances(database) == {}
    assert (await match(crm, database))["booked"] == 0  # and it is not matched again by itself
    with pytest.raises(IllegalTransition):
        async with acting(crm) as act:
            await lines.release(act, id=line, reason="Again.")
    assert (await taken(crm, database, account, came("9.50", "now po_1QxZ77")))["booked"] == 1
    assert await balances(database) == {"BANK": ("9.50", "9.50"), "CLEARING": ("-9.50", "-9.50")}
    with pytest.raises(Conflict, match="Another line"):
        await bank.accept(crm, line, payout_id=id)
    told = "SELECT kind FROM events WHERE subject_type = 'Payout' ORDER BY id"
    assert [row[0] for row in await database.fetch(told)] == [
        "payout.expected",
        "payout.paid",
        "payout.released",
        "payout.paid",
    ]
    assert await broken(database) == []


async def test_the_bank_takes_a_payout_back(crm: db.Database, database: asyncpg.Connection, account: UUID) -> None:
    id = await expected(crm)
    await taken(crm, database, account, came("9.50", "po_1QxZ77", own_id="b1"))
    assert (await taken(crm, database, account, came("-9.50", "Return po_1QxZ77", own_id="b2")))["booked"] == 0
    back = await database.fetchval("SELECT id FROM bank_lines WHERE amount < 0")
    await bank.accept(crm, back, payout_id=id)
    assert await status(database) == "FAILED"
    assert await balances(database) == {}
    assert await broken(database) == []
    assert await reconciled(crm, database, 20) == []


async def test_one_that_failed_and_has_come_in_is_an_exception(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    id = await expected(crm)
    await taken(crm, database, account, came("9.50", "po_1QxZ77", own_id="b1"))
    async with acting(crm) as act:
        await payouts.fail(act, id=id, reason="The provider says so.")
    assert await reconciled(crm, database, 20) == [("PAYOUT_BANK_DIFFERS", "9.50")]
    await taken(crm, database, account, came("-9.50", "Return", own_id="b2"))
    await bank.accept(crm, await database.fetchval("SELECT id FROM bank_lines WHERE amount < 0"), payout_id=id)
    assert await reconciled(crm, database, 20) == []


async def test_what_does_not_fit_is_not_accepted(crm: db.Database, database: asyncpg.Connection, account: UUID) -> None:
    id = await expected(crm)
    failed = await expected(crm, reference="po_2")
    async with acting(crm) as act:
        await payouts.fail(act, id=failed)
    entries = [came("9.50", "one", own_id="b1"), came("-9.50", "two", own_id="b2")]
    await bank.take(crm, account, file(*entries))
    in_, out = [row["id"] for row in await database.fetch("SELECT id FROM bank_lines ORDER BY amount DESC")]
    for line, payout in ((in_, failed), (out, id)):
        with pytest.raises(IllegalTransition) as refused:
            await bank.accept(crm, line, payout_id=payout)
        assert refused.value.field == "payoutId"
    with pytest.raises(BadUserInput, match="Name one of"):
        await bank.accept(crm, in_, payout_id=id, refund_id=id)
    await bank.accept(crm, in_, payout_id=id)
    assert await status_of(database, id) == "PAID"


async def status_of(database: asyncpg.Connection, id: UUID) -> str:
    return await database.fetchval("SELECT status FROM payouts WHERE id = $1", id)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE bank_lines SET status = 'OPEN', settled_at = NULL, payout_id = NULL", "stays as it was said"),
        ("UPDATE bank_lines SET payout_id = NULL", "bank_lines_booked|stays as it was said"),
        ("UPDATE bank_lines SET payout_id = (SELECT id FROM payouts WHERE reference = 'po_2')", "stays as it was said"),
        (
            "INSERT INTO bank_lines SELECT (jsonb_populate_record(NULL::bank_lines, to_jsonb(l) || jsonb_build_object("
            "'id', uuidv7(), 'key', 'other'))).* FROM bank_lines l",
            "bank_lines_payout_once",
        ),
        (
            "INSERT INTO bank_lines SELECT (jsonb_populate_record(NULL::bank_lines, to_jsonb(l) || jsonb_build_object("
            "'id', uuidv7(), 'key', 'other', 'payout_id', (SELECT id FROM payouts WHERE reference = 'po_2')))).* FROM bank_lines l",
            "not what it is booked as",
        ),
    ],
)
async def test_raw_sql_is_refused(
    crm: db.Database, database: asyncpg.Connection, account: UUID, statement: str, refusal: str
) -> None:
    await expected(crm)
    await taken(crm, database, account, came("9.50", "po_1QxZ77"))
    await expected(crm, reference="po_2")
    with pytest.raises(asyncpg.PostgresError, match=refusal):
        await database.execute(statement)


async def test_a_line_of_another_amount_than_was_posted_is_found(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await expected(crm)
    number = await bank.number(database, order)
    await taken(crm, database, account, came("9.50", "po_1QxZ77", own_id="a"), came("10.00", number, own_id="b"))
    assert await broken(database) == []
    await database.execute(
        "SET session_replication_role = replica; UPDATE bank_lines SET amount = amount + 1.00; RESET session_replication_role"
    )
    said = sorted(text.split(" is ")[1] for text in await broken(database))
    assert said == [
        "BOOKED with 10.50 USD, and nothing of just that was posted at the bank for it",
        "BOOKED with 11.00 USD, and nothing of just that was posted at the bank for it",
    ]


async def test_a_line_is_what_was_posted_whatever_becomes_of_it(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    _, asked = await bank.refund(crm, customer)
    back = came("-4.00", "Refund", end_to_end=asked.hex)
    await taken(crm, database, account, back, *(came("5.00", f"thing {n}") for n in range(3)))
    rows = await database.fetch("SELECT id FROM bank_lines WHERE status = 'OPEN'")
    for row in rows:
        async with acting(crm) as act:
            await lines.to_suspense(act, id=row["id"])
    first, second, _ = [row["id"] for row in await database.fetch("SELECT id FROM suspense_receipts ORDER BY id")]
    async with acting(crm) as act:
        await suspense.assign(act, id=first, customer_id=customer)
        await suspense.give_back(act, id=second, reason="Not ours.")
    statuses = [row[0] for row in await database.fetch("SELECT status FROM bank_lines ORDER BY amount")]
    assert statuses == ["BOOKED", "SUSPENSE", "SUSPENSE", "SUSPENSE"]
    assert await broken(database) == []


async def test_it_takes_as_many_statements_for_many_as_for_one(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    counts, total = [], 0
    for many in (1, 1, 40):  # the first one also learns the types of columns
        made = [await expected(crm, reference=f"po_{total + n}") for n in range(many)]
        entries = [came("9.50", f"x{total + n}") for n in range(many)]
        await bank.take(crm, account, file(*entries))
        ids = [row["id"] for row in await database.fetch("SELECT id FROM bank_lines WHERE status = 'OPEN'")]
        seen: list[str] = []
        async with acting(crm) as act:
            act.tx.connection.add_query_logger(lambda record, seen=seen: seen.append(record.query))
            choices = [Choice(line, None, payout_id=payout) for line, payout in zip(ids, made, strict=True)]
            assert await booking.book_many(act, choices) == many
        counts.append(len(seen))
        total += many
    assert counts[1] == counts[2]
    assert await broken(database) == []


def payout(n: int, net: str, reference: str, *, due: int = 0, provider: str = "stripe") -> Payout:
    return Payout(UUID(int=n), provider, reference, Decimal(net), "USD", ARRIVES + timedelta(days=due))


def line(n: int, amount: str, text: str = "", *, name: str | None = None, days: int = 0, **more: Any) -> dict[str, Any]:
    facts = {"id": UUID(int=n), "booked_on": ARRIVES + timedelta(days=days), "amount": Decimal(amount), "name": name}
    return {**facts, "currency": "USD", "texts": [text] if text else [], "end_to_end_id": None, **more}


def found(*made: dict[str, Any], payouts: list[Payout]) -> list[list[tuple[int, str]]]:
    matched = arrivals.match(list(made), payouts)
    return [[(each.payout.id.int, each.certainty.name) for each in matched[one["id"]]] for one in made]


def test_a_payout_is_certain_for_one_line() -> None:
    first, second = line(1, "9.50", "po_1QxZ77", days=1), line(2, "9.50", "po_1QxZ77")
    given = [payout(7, "9.50", "po_1QxZ77")]
    assert found(first, second, payouts=given) == [[], [(7, "CERTAIN")]]
    assert found(second, first, payouts=given) == [[(7, "CERTAIN")], []]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (line(1, "9.50", "po_1QxZ77"), [(7, "CERTAIN")]),
        (line(1, "9.50", end_to_end_id="PO1QXZ77"), [(7, "CERTAIN")]),
        (line(1, "9.50", "po_1QxZ778"), [(7, "POSSIBLE")]),
        (line(1, "9.00", "po_1QxZ77"), [(7, "LIKELY")]),
        (line(1, "-9.50", "po_1QxZ77"), []),
        (line(1, "9.50", "po_1QxZ77", currency="EUR"), []),
        (line(1, "9.50", name="Stripe"), [(7, "LIKELY")]),
        (line(1, "9.50", "STRIPE PAYMENTS UK"), [(7, "LIKELY")]),
        (line(1, "9.50", name="Stripe", days=6), [(7, "POSSIBLE")]),
        (line(1, "9.50", days=10), [(7, "POSSIBLE")]),
        (line(1, "9.50", days=11), []),
        (line(1, "9.49", name="Stripe"), []),
    ],
)
def test_how_certain(made: dict[str, Any], expected: list[tuple[int, str]]) -> None:
    assert found(made, payouts=[payout(7, "9.50", "po_1QxZ77")]) == [expected]


def test_of_several_none_is_likely() -> None:
    given = [payout(7, "9.50", "po_1QxZ77"), payout(8, "9.50", "po_1QxZ88", due=1)]
    assert found(line(1, "9.50", name="Stripe"), payouts=given) == [[(7, "POSSIBLE"), (8, "POSSIBLE")]]
    same = [payout(7, "9.50", "2026-44-1"), payout(8, "9.50", "2026-44-1", provider="adyen")]
    assert found(line(1, "9.50", "2026-44-1"), payouts=same) == [[(7, "LIKELY"), (8, "LIKELY")]]
    assert found(line(1, "9.50", "No. 44"), payouts=[payout(7, "9.50", "44")]) == [[(7, "LIKELY")]]
