"""What a person's money says of them goes with them: lines of bank statements, suspense, contracts, mail; but not an invoice as issued."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from uuid import uuid4

from crmgql.domain.jobs import kinds
from tests.domain import work
from tests.domain.money import statements
from tests.domain.money.statements import Entry, Part
from tests.schema import cases_bank
from tests.schema.customers.test_erasure import MAIL, WHO, everything, traces
from tests.schema.world import NOW, World, id_of, money, uuid_of

IBAN = "DE99ZEBEDEE0001"


async def lines(world: World, count: int) -> list[str]:
    """Lines of money that the person sent, each with another amount."""
    account = await cases_bank.account(world)
    number = await world.database.fetchval("SELECT number FROM bank_accounts WHERE id = $1", uuid_of(account))
    entries = [
        Entry(
            f"{n}.00",
            [Part(name=WHO, iban=IBAN, texts=(f"From {WHO} {n}",), end_to_end=f"{WHO}-{n}")],
            bank_id=uuid4().hex,
        )
        for n in range(1, count + 1)
    ]
    content = base64.b64encode(statements.document(statements.statement(*entries, iban=number))).decode()
    assert (await world.do("bankStatementImport", bankAccountId=account, content=content)).done
    rows = await world.database.fetch(
        "SELECT id FROM bank_lines WHERE account_id = $1 ORDER BY amount", uuid_of(account)
    )
    return [id_of("BankLine", row["id"]) for row in rows]


async def person(world: World) -> str:
    """Somebody with an order, an invoice, a contract, and money that came by the bank in each way."""
    customer = await world.customer(name=WHO, email=MAIL, kind="PERSON")
    booked, suspended, ignored = await lines(world, 3)
    assert (await world.do("bankLineAccept", id=booked, customerId=customer)).done
    assert (await world.do("bankLineToSuspense", id=suspended)).done
    receipt = await world.database.fetchval("SELECT suspense_id FROM bank_lines WHERE id = $1", uuid_of(suspended))
    assert (await world.do("suspenseAssign", id=id_of("SuspenseReceipt", receipt), customerId=customer)).done
    assert (await world.do("bankLineIgnore", id=ignored, reason=f"Ask {WHO}")).done
    assert (await world.do("bankLineAccept", id=ignored, customerId=customer)).done
    given: dict[str, Any] = {"title": f"{WHO} rents", "startsOn": "2026-01-01", "value": money("10.00")}
    contract = (await world.do("contractCreate", customerId=customer, parties=f"{WHO} and us", **given)).done["id"]
    plan = [{"dueOn": "2026-02-01", "share": "100"}]
    assert (await world.do("contractSetPlan", id=contract, payments=plan)).done
    assert (await world.do("contractActivate", id=contract)).done
    await work.run(world.engine.database, world.database, kinds.CONTRACTS_REMIND, now=NOW + timedelta(days=60))
    order = await world.order("CONFIRMED", customer)
    invoice = (await world.do("invoiceCreate", orderId=order)).done["id"]
    assert (await world.do("invoiceIssue", id=invoice)).done
    assert (await world.do("invoiceSend", id=invoice, to=MAIL)).done
    return customer


async def test_nothing_is_left_but_the_invoice_as_it_was_issued(world: World) -> None:
    customer = await person(world)
    before = {line.partition(":")[0] for line in traces(await everything(world))}
    assert before >= {
        *("bank_lines", "suspense_receipts", "payments", "contracts", "notifications", "email_messages", "invoices"),
        "audit_entries",
    }
    sums = "SELECT sum(amount), count(payment_id), count(suspense_id) FROM bank_lines"
    figures = tuple(await world.database.fetchrow(sums))
    answer = await world.do("personErase", customerId=customer)
    assert answer.code is None, answer
    left = traces(await everything(world))
    assert {line.partition(":")[0] for line in left} == {"invoices"}, left
    assert tuple(await world.database.fetchrow(sums)) == figures
    blanked = await world.database.fetchval(
        "SELECT count(*) FROM tombstones WHERE erasure_id = $1 AND subject_type = 'BankLine'",
        uuid_of(answer.done["id"]),
    )
    assert blanked == 3


async def test_what_others_sent_stays(world: World) -> None:
    customer, other = await world.customer(name="Quentin", kind="PERSON"), await world.customer()
    (line,) = await lines(world, 1)
    assert (await world.do("bankLineAccept", id=line, customerId=other)).done
    assert (await world.do("personErase", customerId=customer)).code is None
    row = await world.row("bank_lines", line)
    assert (row["name"], row["counterparty"]) == (WHO, IBAN)
