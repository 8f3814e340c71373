"""Statements of banks: imported once, matched, booked by themselves or by people; and what raw SQL can't do to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from crmgql import db
from crmgql.domain.jobs import kinds
from crmgql.domain.money import invoices, merging, payments, periods, refunds, suspense, write_offs
from crmgql.domain.money.bank.lines import BankFileUnbalanced
from crmgql.domain.money.banking import accounts, lines, matches, statements
from crmgql.domain.money.banking.matches import Outcome
from crmgql.domain.money.banking.statements import Imported
from crmgql.domain.sales import orders
from crmgql.errors import BadUserInput, Conflict, CurrencyMismatch, IllegalTransition, NotFound
from crmgql.records.records import Act
from crmgql.schema import build
from tests.conftest import NOW
from tests.domain import work
from tests.domain.money import statements as files
from tests.domain.money.statements import Entry, Part
from tests.domain.sales.test_revenue import balances, confirmed, draft
from tests.ledger.conftest import acting, add_customer

IBAN = "DE75 5121 0800 1245 1261 99"
LAYOUT = {
    "columns": {
        "booked_on": "day",
        "amount": "amount",
        "balance": "balance",
        "name": "name",
        "counterparty": "iban",
        "references": ["text"],
        "bank_id": "id",
    }
}
HEAD = "day,amount,balance,name,iban,text,id\n"
DAY = "2026-11-20"


@pytest_asyncio.fixture(autouse=True)
async def seller(database: asyncpg.Connection) -> UUID:
    assert build.built()
    return await work.user(database)


@pytest_asyncio.fixture
async def account(crm: db.Database) -> UUID:
    async with acting(crm) as act:
        return await accounts.create(act, name="Giro", number=IBAN, currency="USD", layout=LAYOUT)


def file(*entries: Entry, **more: Any) -> bytes:
    for each in entries:
        each.currency, each.booked_on = "USD", DAY
    return files.document(files.statement(*entries, currency="USD", **more))


def came(amount: str, text: str, *, name: str = "Somebody", **more: Any) -> Entry:
    return Entry(amount, [Part(name=name, texts=(text,), **more)])


def table(*rows: tuple[str, str, str, str]) -> bytes:
    """Rows of amount, name, account and text, with their balances and ids."""
    balance, written = Decimal("1000.00"), [HEAD]
    for n, (amount, name, iban, text) in enumerate(rows):
        balance += Decimal(amount)
        written.append(f"{DAY},{amount},{balance},{name},{iban},{text},b{n}\n")
    return "".join(written).encode()


async def take(crm: db.Database, account: UUID, content: bytes) -> Imported:
    async with acting(crm) as act:
        return await statements.import_file(act, bank_account_id=account, content=content)


async def match(crm: db.Database) -> Outcome:
    @asynccontextmanager
    async def step() -> AsyncIterator[Act]:
        async with acting(crm) as act:
            yield act

    return await matches.match(step)


async def taken(crm: db.Database, account: UUID, *entries: Entry) -> Outcome:
    await take(crm, account, file(*entries))
    return await match(crm)


async def number(database: asyncpg.Connection, order: UUID) -> str:
    return await database.fetchval("SELECT number FROM orders WHERE id = $1", order)  # type: ignore[no-any-return]


async def only(database: asyncpg.Connection) -> asyncpg.Record:
    (row,) = await database.fetch("SELECT * FROM bank_lines")
    return row


async def suggested(database: asyncpg.Connection) -> list[asyncpg.Record]:
    return await database.fetch("SELECT * FROM bank_suggestions ORDER BY line_id, n")  # type: ignore[no-any-return]


async def accept(crm: db.Database, line: UUID, **what: UUID) -> None:
    async with acting(crm) as act:
        await lines.accept(act, id=line, **what)


async def test_a_reference_with_its_amount_is_booked_by_itself(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    outcome = await taken(crm, account, came("10.00", f"Rechnung zu {await number(database, order)}, danke"))
    assert outcome == Outcome(lines=1, booked=1)
    line = await only(database)
    payment = await database.fetchrow("SELECT * FROM payments")
    assert (line["status"], line["payment_id"], line["customer_id"]) == ("BOOKED", payment["id"], customer)
    assert (payment["order_id"], payment["method"], payment["amount"]) == (order, "BANK_TRANSFER", Decimal("10.00"))
    assert payment["received_at"] == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "REVENUE": ("-10.00", "-10.00")}
    kinds = [row["kind"] for row in await database.fetch("SELECT kind FROM events ORDER BY id")]
    assert kinds[-4:] == ["bankStatement.imported", "payment.received", "allocation.made", "bankLine.booked"]
    assert await suggested(database) == []


async def test_the_same_file_twice_adds_nothing(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    content = file(came("10.00", await number(database, order), own_id="b1"), came("-2.00", "Fee", own_id="b2"))
    first = await take(crm, account, content)
    await match(crm)
    again = await take(crm, account, content)
    assert (len(first.statement_ids), first.lines, first.new_lines) == (1, 2, 2)
    assert (len(again.statement_ids), again.lines, again.new_lines) == (1, 2, 0)
    assert (await match(crm)).booked == 0
    counts = "SELECT (SELECT count(*) FROM bank_statements), (SELECT count(*) FROM bank_lines), (SELECT count(*) FROM payments)"
    assert tuple(await database.fetchrow(counts)) == (1, 2, 1)


async def test_files_that_overlap_bring_each_line_once(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    rows = [("10.00", "A", "DE1", "one"), ("20.00", "B", "DE2", "two"), ("30.00", "C", "DE3", "three")]
    await take(crm, account, table(*rows[:2]))
    again = await take(crm, account, table(*rows))
    assert (again.lines, again.new_lines) == (3, 1)
    sql = (
        "SELECT line_count, known_count, opening_amount, moved_amount, closing_amount FROM bank_statements ORDER BY id"
    )
    found = [tuple(map(str, row)) for row in await database.fetch(sql)]
    assert found == [("2", "0", "1000.00", "30.00", "1030.00"), ("3", "2", "1000.00", "60.00", "1060.00")]


async def test_of_the_same_file_at_once_one_wins(crm: db.Database, database: asyncpg.Connection, account: UUID) -> None:
    content = table(*((f"{n + 1}.00", "A", "DE1", f"text {n}") for n in range(50)))
    made = await asyncio.gather(*(take(crm, account, content) for _ in range(5)))
    assert sorted(each.new_lines for each in made) == [0, 0, 0, 0, 50]
    assert await database.fetchval("SELECT count(*) FROM bank_statements") == 1


async def test_what_is_not_right_is_refused_whole(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    with pytest.raises(BankFileUnbalanced):
        await take(crm, account, file(came("10.00", "x"), closing="100.00"))
    with pytest.raises(BadUserInput, match="is of DE02"):
        await take(crm, account, file(came("10.00", "x"), iban="DE02 1203 0000 0000 2020 51"))
    async with acting(crm) as act:
        other = await accounts.create(act, name="No layout", number="123", currency="USD")
    with pytest.raises(BadUserInput, match="layout"):
        await take(crm, other, table(("1.00", "A", "DE1", "x")))
    async with acting(crm) as act:
        with pytest.raises(BadUserInput) as refused:
            await accounts.update(act, id=account, layout={"columns": {}})
        assert refused.value.field == "layout.columns.booked_on"
    assert await database.fetchval("SELECT count(*) FROM bank_lines") == 0


async def test_what_is_not_certain_waits_for_somebody(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    outcome = await taken(crm, account, came("10.00", "thanks", name="ACME Ltd."))
    assert outcome == Outcome(lines=1, suggested=1)
    (found, *_) = await suggested(database)
    assert (found["certainty"], found["basis"], found["order_id"]) == ("LIKELY", "AMOUNT", order)
    assert found["reasons"]
    assert found["labels"] == [await number(database, order)]
    line = await only(database)
    assert line["status"] == "OPEN"
    await accept(crm, line["id"], suggestion_id=found["id"])
    assert await database.fetchval("SELECT order_id FROM payments") == order
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "REVENUE": ("-10.00", "-10.00")}
    assert await suggested(database) == []
    with pytest.raises(IllegalTransition):
        await accept(crm, line["id"], order_id=order)


async def test_what_was_booked_is_known_by_its_account(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    first, second = await confirmed(crm, customer, "10.00"), await confirmed(crm, customer, "7.00")
    await taken(crm, account, came("10.00", "", name="Her uncle", own_id="b1"))
    await accept(crm, (await only(database))["id"], order_id=first)
    await taken(crm, account, came("7.00", "", name="Her uncle", own_id="b2"))
    (found, *_) = await suggested(database)
    assert (found["certainty"], found["order_id"]) == ("LIKELY", second)
    assert "It came from an account of this customer." in found["reasons"]


async def test_one_transfer_settles_several_orders_in_the_order_of_the_plan(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    made = [await confirmed(crm, customer, price) for price in ("10.00", "7.00", "5.00")]
    texts = " and ".join([await number(database, made[0]), await number(database, made[2])])
    assert (await taken(crm, account, came("15.00", texts))).booked == 1
    sums = await database.fetch("SELECT order_id, amount FROM allocations")
    assert {row["order_id"]: str(row["amount"]) for row in sums} == {made[0]: "10.00", made[2]: "5.00"}
    payment = await database.fetchrow("SELECT * FROM payments")
    assert (payment["order_id"], payment["customer_id"]) == (None, customer)
    assert (await balances(database))["RECEIVABLE"] == ("7.00", "7.00")


async def test_more_than_is_owed_stays_the_customer_s(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    assert (await taken(crm, account, came("12.00", await number(database, order)))).booked == 0
    (found, *_) = await suggested(database)
    assert (found["certainty"], str(found["amount"]), str(found["rest_amount"])) == ("LIKELY", "10.00", "2.00")
    await accept(crm, (await only(database))["id"], suggestion_id=found["id"])
    assert await database.fetchval("SELECT open FROM open_items WHERE purpose = 'CREDIT'") == Decimal("2.00")


async def test_an_invoice_is_paid_by_its_number(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    async with acting(crm) as act:
        invoice = await invoices.create(act, order_id=order)
        await invoices.issue(act, id=invoice)
    named = await database.fetchval("SELECT number FROM invoices")
    assert (await taken(crm, account, came("10.00", f"Re {named}"))).booked == 1
    assert tuple(await database.fetchrow("SELECT invoice_id, order_id FROM payments")) == (invoice, order)
    assert "RECEIVABLE" not in await balances(database)


async def tolerant(crm: db.Database, database: asyncpg.Connection, amount: str = "0.01") -> None:
    await database.execute("UPDATE companies SET write_off_tolerances = $1", f'{{"USD": "{amount}"}}')
    async with crm.transaction() as tx:
        tx.forget_company()


async def invoiced(crm: db.Database, database: asyncpg.Connection, customer: UUID) -> tuple[UUID, str]:
    order = await confirmed(crm, customer, "10.00")
    async with acting(crm) as act:
        invoice = await invoices.create(act, order_id=order)
        await invoices.issue(act, id=invoice)
    return invoice, await database.fetchval("SELECT number FROM invoices WHERE id = $1", invoice)


WRITTEN_OFF = "SELECT invoice_id, amount, reason, allocation_id IS NOT NULL AS completes FROM write_offs ORDER BY id"


async def test_a_cent_short_is_written_off_by_rule(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    await tolerant(crm, database)
    invoice, named = await invoiced(crm, database, customer)
    await take(crm, account, file(came("9.99", f"Re {named}")))
    for booked in (1, 0):
        done = await work.run_all(crm, database, kinds.BANK_LINES_MATCH, now=NOW)
        assert done[0]["booked"] == booked
    (off,) = await database.fetch(WRITTEN_OFF)
    assert tuple(off) == (invoice, Decimal("0.01"), "Within the tolerance of 0.01 USD.", True)
    assert await balances(database) == {
        "BANK": ("9.99", "9.99"),
        "REVENUE": ("-10.00", "-10.00"),
        "WRITE_OFF": ("0.01", "0.01"),
    }


async def test_of_what_is_suggested_a_cent_is_written_off_and_the_reason_says_so(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    await tolerant(crm, database)
    invoice, _ = await invoiced(crm, database, customer)
    assert (await taken(crm, account, came("9.99", "Thanks", name="Acme"))).booked == 0
    (found, *_) = await suggested(database)
    assert (found["certainty"], str(found["amount"]), str(found["short_amount"])) == ("LIKELY", "9.99", "0.01")
    assert "0.01 USD of it stay open and are written off, within the tolerance of 0.01 USD." in found["reasons"]
    await accept(crm, (await only(database))["id"], suggestion_id=found["id"])
    (off,) = await database.fetch(WRITTEN_OFF)
    assert (off["invoice_id"], off["completes"]) == (invoice, True)
    assert "RECEIVABLE" not in await balances(database)


async def test_a_cent_over_settles_it_and_stays_the_customer_s(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    await tolerant(crm, database)
    _, named = await invoiced(crm, database, customer)
    assert (await taken(crm, account, came("10.01", f"Re {named}"))).booked == 1
    assert await database.fetch(WRITTEN_OFF) == []
    assert await balances(database) == {
        "BANK": ("10.01", "10.01"),
        "CREDIT": ("-0.01", "-0.01"),
        "REVENUE": ("-10.00", "-10.00"),
    }


async def test_beyond_what_the_rule_still_writes_off_somebody_decides(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    await tolerant(crm, database)
    invoice, named = await invoiced(crm, database, customer)
    async with acting(crm) as act:  # all of it, by hand
        given = {"reason": "Theirs.", "amount": (Decimal("0.01"), "USD")}
        await write_offs.write_off(act, invoice_id=invoice, **given)
    assert (await taken(crm, account, came("9.98", f"Re {named}"))).booked == 0
    (found, *_) = await suggested(database)
    assert (found["certainty"], found["reasons"][1]) == ("LIKELY", "0.01 USD of it stay open.")
    await accept(crm, (await only(database))["id"], suggestion_id=found["id"])
    assert (await balances(database))["RECEIVABLE"] == ("0.01", "0.01")
    _, named = await invoiced(crm, database, customer)
    assert (await taken(crm, account, came("9.98", f"Re {named}"))).booked == 0  # two cents


async def test_a_payment_that_is_recorded_is_not_recorded_again(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    async with acting(crm) as act:
        given = {"amount": (Decimal("10.00"), "USD"), "method": "BANK_TRANSFER", "order_id": order}
        payment = await payments.record(act, **given, received_at=datetime(2026, 11, 19, tzinfo=UTC))
    assert (await taken(crm, account, came("10.00", await number(database, order)))).booked == 1
    assert (await only(database))["payment_id"] == payment
    assert await database.fetchval("SELECT count(*) FROM payments") == 1
    assert (await balances(database))["BANK"] == ("10.00", "10.00")


async def test_a_payment_that_is_expected_is_received(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    async with acting(crm) as act:
        given = {"amount": (Decimal("10.00"), "USD"), "method": "BANK_TRANSFER", "customer_id": customer}
        payment = await payments.record(act, **given, pending=True, reference="KD-4711-26")
    assert (await taken(crm, account, came("10.00", "kd 4711 26"))).booked == 1
    row = await database.fetchrow("SELECT * FROM payments")
    assert (row["id"], row["status"]) == (payment, "RECEIVED")
    assert row["received_at"] == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "UNEARNED": ("-10.00", "-10.00")}


async def test_money_that_may_be_recorded_already_is_not_booked_by_itself(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    async with acting(crm) as act:
        given = {"amount": (Decimal("10.00"), "USD"), "method": "BANK_TRANSFER", "customer_id": customer}
        payment = await payments.record(act, **given, received_at=datetime(2026, 11, 19, tzinfo=UTC))
    outcome = await taken(crm, account, came("10.00", await number(database, order), name="Acme"))
    assert (outcome.booked, outcome.suggested) == (0, 1)
    found = await suggested(database)
    assert {row["payment_id"] for row in found} == {payment, None}
    assert "What is recorded already may be the same money." in found[0]["reasons"] + found[1]["reasons"]
    line = (await only(database))["id"]
    await accept(crm, line, payment_id=payment)
    assert await database.fetchval("SELECT count(*) FROM payments") == 1


async def refund(crm: db.Database, customer: UUID) -> tuple[UUID, UUID]:
    async with acting(crm) as act:
        given = {"amount": (Decimal("10.00"), "USD"), "method": "BANK_TRANSFER", "customer_id": customer}
        payment = await payments.record(act, **given, received_at=datetime(2026, 9, 1, tzinfo=UTC))
    async with acting(crm) as act:
        return payment, await refunds.request(act, payment_id=payment, amount=(Decimal("4.00"), "USD"))


async def test_a_refund_that_went_out_is_found_by_its_id(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    _, asked = await refund(crm, customer)
    assert (await taken(crm, account, came("-4.00", "Refund", end_to_end=asked.hex))).booked == 1
    assert tuple(await database.fetchrow("SELECT id, status FROM refunds")) == (asked, "SUCCEEDED")
    assert (await only(database))["refund_id"] == asked
    assert await balances(database) == {"BANK": ("6.00", "6.00"), "UNEARNED": ("-6.00", "-6.00")}


async def test_what_went_out_is_a_refund_or_no_matter_of_customers(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    _, asked = await refund(crm, customer)
    assert (await taken(crm, account, came("-4.00", "back to you", name="Acme"))).suggested == 1
    line = (await only(database))["id"]
    with pytest.raises(BadUserInput, match="Money went out"):
        await accept(crm, line, customer_id=customer)
    async with acting(crm) as act:
        await lines.ignore(act, id=line, reason="Fee of the bank.")
    row = await only(database)
    assert (row["status"], row["status_reason"]) == ("IGNORED", "Fee of the bank.")
    assert await suggested(database) == []
    await accept(crm, line, refund_id=asked)  # it was none
    row = await only(database)
    assert (row["status"], row["status_reason"], row["refund_id"]) == ("BOOKED", None, asked)


async def test_money_of_nobody_waits_in_suspense(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    assert await taken(crm, account, came("10.00", "for the thing")) == Outcome(lines=1)
    async with acting(crm) as act:
        await lines.to_suspense(act, id=(await only(database))["id"])
    assert await balances(database) == {"BANK": ("10.00", "10.00"), "SUSPENSE": ("-10.00", "-10.00")}
    line, receipt = await only(database), await database.fetchrow("SELECT * FROM suspense_receipts")
    assert (line["status"], line["suspense_id"]) == ("SUSPENSE", receipt["id"])
    assert (receipt["payer"], receipt["reference"]) == ("Somebody", "for the thing")
    async with acting(crm) as act:
        await suspense.assign(act, id=receipt["id"], customer_id=customer)
    await take(crm, account, file(came("10.00", "for another thing", own_id="b2")))
    assert await match(crm) == Outcome(lines=1)  # the payment that it became is no other line's


async def test_what_does_not_fit_is_not_accepted(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    foreign = await confirmed(crm, customer, "10.00", currency="EUR")
    async with acting(crm) as act:
        given = {"amount": (Decimal("9.00"), "USD"), "customer_id": customer}
        other = await payments.record(act, **given, method="BANK_TRANSFER")
        card = await payments.record(
            act,
            amount=(Decimal("10.00"), "USD"),
            customer_id=customer,
            method="CREDIT_CARD",
            provider="stripe",
            provider_reference="pi_1",
        )
    await taken(crm, account, came("10.00", "x", own_id="b1"), came("10.00", "y", own_id="b2"))
    first, second = [row["id"] for row in await database.fetch("SELECT id FROM bank_lines ORDER BY id")]
    with pytest.raises(CurrencyMismatch):
        await accept(crm, first, order_id=foreign)
    with pytest.raises(BadUserInput, match="same amount"):
        await accept(crm, first, payment_id=other)
    with pytest.raises(BadUserInput, match="stripe"):
        await accept(crm, first, payment_id=card)
    with pytest.raises(BadUserInput, match="Name one of"):
        await accept(crm, first, customer_id=customer, order_id=foreign)
    with pytest.raises(NotFound):
        await accept(crm, first, suggestion_id=first)
    await accept(crm, first, customer_id=customer)
    with pytest.raises(Conflict, match="Another line"):
        await accept(
            crm, second, payment_id=(await database.fetchval("SELECT payment_id FROM bank_lines WHERE id = $1", first))
        )


async def test_a_line_of_a_closed_day_stays_open_and_keeps_no_other_from_being_booked(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    made = [await confirmed(crm, customer, "10.00") for _ in range(2)]
    texts = [await number(database, each) for each in made]
    rows = [HEAD, f"2026-09-30,10.00,10.00,A,DE1,{texts[0]},b1\n", f"2026-11-20,10.00,20.00,A,DE1,{texts[1]},b2\n"]
    await take(crm, account, "".join(rows).encode())
    async with acting(crm) as act:
        await periods.close(act, "close", last_on=date(2026, 10, 31))
    outcome = await match(crm)
    assert (outcome.booked, outcome.suggested) == (1, 1)
    (found,) = await suggested(database)
    assert (found["certainty"], found["order_id"]) == ("CERTAIN", made[0])


async def test_a_line_is_booked_once_by_twenty_at_once(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await take(crm, account, file(came("10.00", await number(database, order))))
    line = (await only(database))["id"]
    tried = [accept(crm, line, order_id=order) for _ in range(10)] + [match(crm) for _ in range(10)]
    results = await asyncio.gather(*tried, return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, IllegalTransition) for each in refused), refused
    assert await database.fetchval("SELECT count(*) FROM payments") == 1
    assert (await only(database))["status"] == "BOOKED"


async def test_three_thousand_lines_of_a_csv_file(
    crm: db.Database, database: asyncpg.Connection, account: UUID
) -> None:
    many, most = 300, 3000
    owing = [await add_customer(database, f"Customer {n}") for n in range(many)]
    async with acting(crm) as act:
        made = [await _order(act, owner, f"{10 + n}.00") for n, owner in enumerate(owing)]
    numbers = [await number(database, each) for each in made]
    rows = [(f"{10 + n}.00", f"Customer {n}", f"DE{n}", f"for {name}") for n, name in enumerate(numbers)]
    rows += [("-1.00", "The bank", "", f"fee {n}") for n in range(most - many)]
    counted = Counting()
    async with acting(crm) as act:
        act.tx.connection.add_query_logger(counted)
        content = table(*rows)
        made_of = await statements.import_file(act, bank_account_id=account, content=content)
        act.tx.connection.remove_query_logger(counted)
    assert made_of.new_lines == most
    assert counted.count < 20
    outcome = await match(crm)
    assert (outcome.lines, outcome.booked) == (most, many)
    assert await database.fetchval("SELECT sum(open) FROM open_items WHERE purpose = 'RECEIVABLE'") == 0


class Counting:
    """How many statements were sent."""

    count = 0

    def __call__(self, query: Any) -> None:
        self.count += 1


async def _order(act: Act, customer: UUID, price: str) -> UUID:
    id = await draft(act, customer, price)
    await orders.move(act, "confirm", id=id)
    return id


RAW = {
    "another amount": ("UPDATE bank_lines SET amount = 11", "stays as it was said"),
    "another name": ("UPDATE bank_lines SET name = 'Me'", "stays as it was said"),
    "open again": (
        "UPDATE bank_lines SET status = 'OPEN', settled_at = NULL, payment_id = NULL, customer_id = NULL",
        "stays as it was said",
    ),
    "gone": ("DELETE FROM bank_lines", "append-only|never changed|may not"),
    "another statement": ("UPDATE bank_statements SET line_count = 2", "append-only|never changed|may not"),
    "a copy": (
        "INSERT INTO bank_statements (account_id, digest, format, currency, moved_amount, line_count, known_count, skipped_count)"
        " SELECT account_id, 'd', 'CSV', 'USD', 10.00, 1, 0, 0 FROM bank_statements",
        "has 0 lines",
    ),
    "unbalanced": (
        "INSERT INTO bank_statements (account_id, digest, format, currency, opening_amount, opening_on, moved_amount, closing_amount,"
        " closing_on, line_count, known_count, skipped_count)"
        " SELECT account_id, 'd', 'CSV', 'USD', 1.00, now(), 10.00, 1.00, now(), 0, 0, 0 FROM bank_statements",
        "bank_statements_balanced",
    ),
    "booked twice": (
        "INSERT INTO bank_lines SELECT (jsonb_populate_record(NULL::bank_lines, to_jsonb(l) || jsonb_build_object("
        "'id', uuidv7(), 'key', 'other'))).* FROM bank_lines l",
        "bank_lines_payment_once",
    ),
}


@pytest.mark.parametrize("what", RAW)
async def test_raw_sql_is_refused(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID, what: str
) -> None:
    order = await confirmed(crm, customer, "10.00")
    await taken(crm, account, came("10.00", await number(database, order)))
    sql, refusal = RAW[what]
    with pytest.raises(asyncpg.PostgresError, match=refusal):
        await database.execute(sql)


async def test_a_line_is_no_payment_of_another_amount(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    async with acting(crm) as act:
        payment = await payments.record(
            act, amount=(Decimal("9.00"), "USD"), method="CASH", customer_id=customer, received_at=NOW
        )
    await take(crm, account, file(came("10.00", "x")))
    sql = "UPDATE bank_lines SET status = 'BOOKED', settled_at = now(), payment_id = $1, customer_id = $2"
    with pytest.raises(asyncpg.CheckViolationError, match="not what it is booked as"):
        await database.execute(sql, payment, customer)


async def test_a_line_for_what_a_merged_customer_owed_is_the_survivors(
    crm: db.Database, database: asyncpg.Connection, account: UUID, customer: UUID
) -> None:
    """By the order's number, and by what the merged one paid from."""
    other = await add_customer(database, "Former")
    order = await confirmed(crm, other, "10.00")
    named = await number(database, order)
    async with acting(crm) as act:
        await merging.merge(act, id=other, into_id=customer, reason="Twice.")
    await taken(crm, account, came("10.00", f"for {named}"))
    (paid,) = await database.fetch("SELECT customer_id, amount FROM payments")
    assert tuple(paid) == (customer, Decimal("10.00"))
    assert "RECEIVABLE" not in await balances(database)
