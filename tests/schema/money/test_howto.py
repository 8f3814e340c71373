"""The steps of docs/howto/money.md, run one after the other by finance, the last one by an administrator."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from crmgql.domain.jobs import kinds
from crmgql.domain.money.banking import matches
from crmgql.domain.webhooks.keys import KEYS
from crmgql.ledger import book
from crmgql.ledger.accounts import Account
from crmgql.models import Purpose
from crmgql.records.records import Act
from tests.domain import work
from tests.ledger import trial
from tests.ledger.conftest import entry, usd
from tests.schema import cases_bank, cases_invoices, cases_providers
from tests.schema.cases_contracts import contract
from tests.schema.money.test_allocations import prepaid
from tests.schema.world import NOW, SECRET, World, id_of, money, uuid_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "howto" / "money.md"


def steps(section: str, page: Path = PAGE) -> list[str]:
    """The GraphQL documents of a section."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.S | re.M)
    return re.findall(r"```graphql\n(.*?)```", text, re.S)


async def test_the_steps_work(world: World) -> None:
    before, soft_close, pay, revalue, year, close, show, reopen = steps("Close a month")

    async def ask(query: str, role: str = "FINANCE", **variables: Any) -> Any:
        answer = await world.ask(query, world.viewer(role), **variables)
        assert "errors" not in answer, answer
        ((name, payload),) = answer["data"].items()
        assert not payload.get("userErrors"), payload
        return payload if name == "accountingPeriods" else next(iter(payload.values()))

    async with world.engine.database.transaction() as tx:
        cost = usd(Account(Purpose.CLEARING), Account(Purpose.FEES), "9.00")
        fees = entry("fee", None, cost, key="fee", effective_on=date(2025, 12, 20))
        await book.post(Act(tx, world.viewer("FINANCE")), [fees])
    assert (await ask(before))["status"] == "CLOSED"
    assert (await ask(soft_close))["status"] == "SOFT_CLOSED"
    await ask(pay, customer=await world.customer())
    rate = {
        "currency": "EUR",
        "base_currency": "USD",
        "effective_on": date(2025, 12, 31),
        "rate": Decimal("1.5"),
        "source": "TEST",
    }
    await world.insert("fx_rates", **rate)
    assert (await ask(revalue))["lastOn"] == "2025-12-31"
    found = await trial.as_of(world.database, date(2025, 12, 31))
    assert found["REVALUATION", "EUR"] == (0, Decimal("-62.50"))
    assert (await ask(year))["lastOn"] == "2025-12-31"
    found = await trial.as_of(world.database, date(2025, 12, 31))
    assert {purpose: str(base) for (purpose, _), (_, base) in found.items() if purpose in ("FEES", "RETAINED")} == {
        "RETAINED": "9.00"
    }
    assert (await ask(close))["status"] == "CLOSED"
    shown = [(each["firstOn"], each["status"]) for each in (await ask(show))["nodes"]]
    assert shown == [("2025-12-01", "CLOSED"), ("1000-01-01", "CLOSED")]
    assert (await ask(reopen, "ADMIN"))["status"] == "SOFT_CLOSED"
    await trial.balanced(world.database)


async def test_what_customers_owe_is_seen(world: World) -> None:
    listed, any_day, account = steps("See what customers owe")
    finance = world.viewer("FINANCE")
    customer = await world.customer()
    await world.order("CONFIRMED", customer)
    (found,) = (await world.ask(listed, finance))["data"]["customers"]["nodes"]
    assert found["outstanding"] == {**found["receivables"]["outstanding"], "currency": "EUR"}
    assert (await world.ask(any_day, finance))["data"]["receivables"] == {"totals": [], "customers": []}
    told = (await world.ask(account, finance, customer=customer))["data"]["customerStatement"]
    assert (told["closing"], [each["kind"] for each in told["movements"]]) == (
        found["receivables"]["outstanding"],
        ["order.confirmed"],
    )


async def test_credit_is_limited(world: World) -> None:
    limit, approve = steps("Limit a customer's credit")
    customer = await world.customer()
    order = await world.order("DRAFT", customer)
    set_to = (await world.ask(limit, world.viewer("FINANCE"), customer=customer))["data"]["customerUpdate"]
    assert set_to["customer"] == {"creditLimit": {"amount": "5.00"}, "creditPolicy": "REFUSE"}
    assert (await world.do("orderConfirm", id=order)).code == "CREDIT_LIMIT"
    done = (await world.ask(approve, world.viewer("FINANCE"), order=order))["data"]["creditApprove"]
    assert done["userErrors"] == []
    assert (await world.do("orderConfirm", id=order)).code is None


async def test_payments_are_recorded(world: World) -> None:
    received, expected, receive, ahead = steps("Record a payment")
    customer = await world.customer()
    order = await world.order("CONFIRMED", customer)

    async def ask(query: str, **variables: str) -> Any:
        ((_, payload),) = (await world.ask(query, world.viewer("FINANCE"), **variables))["data"].items()
        assert payload["userErrors"] == [], payload
        return payload["payment"]

    first = await ask(received, order=order)
    assert (first["unallocated"], first["orders"]["nodes"]) == (
        {"amount": "0.00"},
        [{"outstanding": {"amount": "8.50"}}],
    )
    assert await ask(received, order=order) == first
    pending = await ask(expected, order=order)
    assert pending["status"] == "PENDING"
    assert (await ask(receive, payment=pending["id"]))["orders"] == {"nodes": [{"outstanding": {"amount": "2.50"}}]}
    assert (await ask(ahead, customer=customer))["unallocated"] == {"amount": "20.00"}


async def test_payments_are_matched_with_orders(world: World) -> None:
    allocate, undo = steps("Match payments with orders")
    payment, order = await prepaid(world)
    finance = world.viewer("FINANCE")
    answer = await world.ask(allocate, finance, payment=payment, order=order)
    (made,) = answer["data"]["paymentAllocate"]["payment"]["allocations"]["nodes"]
    assert made["amount"] == {"amount": "4.00"}
    undone = (await world.ask(undo, finance, allocation=made["id"]))["data"]["allocationUndo"]
    assert (undone["userErrors"], undone["allocation"]["undoes"]) == ([], {"id": made["id"], "undone": True})


async def test_a_parent_pays_for_its_subsidiary(world: World) -> None:
    settle, give_back = steps("Have a parent pay for its subsidiary")
    payment, _ = await prepaid(world)
    parent = (await world.ask(f'{{ payment(id: "{payment}") {{ customer {{ id }} }} }}', world.viewer()))["data"]
    given = {"name": "Below", "currency": "EUR", "parentId": parent["payment"]["customer"]["id"]}
    subsidiary = (await world.do("customerCreate", **given)).done["id"]
    order = await world.order("CONFIRMED", subsidiary)
    finance = world.viewer("FINANCE")
    shown = (await world.ask(settle, finance, payment=payment, order=order))["data"]["paymentAllocate"]["payment"]
    (passed,) = shown["passedOn"]["nodes"]
    assert (shown["unallocated"], passed["amount"], passed["customer"]) == (
        {"amount": "1.00"},
        {"amount": "4.00"},
        {"name": "Below"},
    )
    assert len(passed["orders"]["nodes"]) == 1
    assert (await world.do("orderAmend", id=order, reason="Less", discount=money("10.00"))).done
    back = (await world.ask(give_back, finance, passed=passed["id"]))["data"]["paymentGiveBack"]
    assert back == {
        "payment": {"unallocated": {"amount": "0.00"}, "paidFrom": {"unallocated": {"amount": "2.50"}}},
        "userErrors": [],
    }


async def test_two_customers_are_merged(world: World) -> None:
    (merge,) = steps("Merge two customers")
    payment, order = await prepaid(world)
    known = (await world.ask(f'{{ payment(id: "{payment}") {{ customer {{ id }} }} }}', world.viewer()))["data"]
    into = await world.customer()
    answer = await world.ask(merge, world.viewer("FINANCE"), id=known["payment"]["customer"]["id"], into=into)
    done = answer["data"]["customerMerge"]
    assert done["userErrors"] == []
    (merged,) = done["customer"].pop("merged")["nodes"]
    assert done["customer"] == {"id": into, "outstanding": {"amount": "12.50"}, "unearned": {"amount": "5.00"}}
    assert (merged["status"], merged["mergeReason"], len(merged["orders"]["nodes"])) == (
        "MERGED",
        "It was entered twice.",
        1,
    )
    passed = await world.database.fetchval("SELECT id FROM payments WHERE paid_from_id = $1", uuid_of(payment))
    show = "unallocated { amount }"
    settled = await world.do("paymentAllocate", "FINANCE", show, id=id_of("Payment", passed), orderId=order)
    assert settled.done == {"unallocated": {"amount": "0.00"}}


async def test_what_nobody_pays_is_written_off(world: World) -> None:
    tolerate, allocate, write_off, of_invoice, undo = steps("Write off what nobody pays")
    answer = await world.ask(tolerate, world.viewer())
    assert answer["data"]["companyUpdate"]["company"] == {"writeOffTolerances": {"EUR": "0.01"}}
    payment, order = await prepaid(world)
    finance = world.viewer("FINANCE")
    answer = await world.ask(allocate, finance, payment=payment, order=order)
    assert answer["data"]["paymentAllocate"]["userErrors"] == []
    made = (await world.ask(write_off, finance, order=order))["data"]["writeOff"]["writeOff"]
    assert (made["amount"], made["account"]) == ({"amount": "7.00"}, "WRITE_OFF")
    owed = made["order"]
    assert (owed["paid"], owed["outstanding"]) == ({"amount": "5.00"}, {"amount": "0.00"})
    assert [each["reason"] for each in owed["writeOffs"]["nodes"]] == ["They went bankrupt.", "Bank fees."]
    undone = (await world.ask(undo, finance, writeOff=made["id"]))["data"]["writeOffUndo"]["writeOff"]
    assert undone == {"undoes": {"id": made["id"], "undone": True}, "order": {"outstanding": {"amount": "7.00"}}}
    invoice = await cases_invoices.issued(world)
    made = (await world.ask(of_invoice, finance, invoice=invoice))["data"]["writeOff"]["writeOff"]
    assert (made["amount"], made["invoice"]["paid"]) == ({"amount": "2.00"}, {"amount": "0.00"})
    assert made["invoice"]["outstanding"] == {"amount": "10.50"}


async def test_money_of_nobody_is_assigned_or_returned(world: World) -> None:
    receive, waiting, assign, give_back = steps("Money of which nobody knows whose it is")
    finance = world.viewer("FINANCE")
    first, second = [
        (await world.ask(receive, finance))["data"]["suspenseReceive"]["suspenseReceipt"]["id"] for _ in range(2)
    ]
    listed = (await world.ask(waiting, finance))["data"]["suspenseReceipts"]["nodes"]
    assert {first, second} <= {each["id"] for each in listed}
    assert (await world.ask(waiting, world.viewer("SUPPORT")))["data"]["suspenseReceipts"]["nodes"] == []
    order = await world.order("CONFIRMED")
    assigned = (await world.ask(assign, finance, receipt=first, order=order))["data"]["suspenseAssign"]
    assert (assigned["userErrors"], assigned["suspenseReceipt"]["status"]) == ([], "ASSIGNED")
    (payment,) = assigned["suspenseReceipt"]["payments"]["nodes"]
    shown = await world.ask(
        f'{{ payment(id: "{payment["id"]}") {{ suspense {{ payer }} }} order(id: "{order}") {{ paid {{ amount }} }} }}',
        finance,
    )
    assert shown["data"] == {"payment": {"suspense": {"payer": "A. Non"}}, "order": {"paid": {"amount": "5.00"}}}
    returned = (await world.ask(give_back, finance, receipt=second))["data"]["suspenseReturn"]
    assert returned["suspenseReceipt"] == {"status": "RETURNED", "statusReason": "It was sent twice."}


async def test_what_a_bank_says_is_booked(world: World) -> None:
    create, take, waiting, accept, suspend, ignore = steps("Book what a bank says")
    finance = world.viewer("FINANCE")

    async def ask(query: str, **variables: Any) -> Any:
        answer = await world.ask(query, finance, **variables)
        assert "errors" not in answer, answer
        ((_, payload),) = answer["data"].items()
        assert not payload.get("userErrors"), payload
        return payload

    account = (await ask(create))["bankAccount"]["id"]
    customer = await world.customer()
    order = await world.order("CONFIRMED", customer)
    number = await world.database.fetchval("SELECT number FROM orders WHERE id = $1", uuid_of(order))
    rows = [("5,00", f"Anzahlung {number}"), ("3,00", "Danke"), ("-1,00", "Gebühr")]
    balances = ("5,00", "8,00", "7,00")
    head = "Buchungstag;Betrag;Saldo;Name;IBAN;Zweck\n"
    text = head + "".join(
        f"30.10.2026;{amount};{balance};Somebody;DE1;{words}\n"
        for (amount, words), balance in zip(rows, balances, strict=True)
    )
    content = base64.b64encode(text.encode("cp1252")).decode()
    taken = await ask(take, account=account, content=content)
    assert (taken["lineCount"], taken["newLineCount"]) == (3, 3)
    assert taken["bankStatement"] == {
        "opening": {"amount": "0.00"},
        "moved": {"amount": "7.00"},
        "closing": {"amount": "7.00"},
    }

    @asynccontextmanager
    async def step() -> AsyncIterator[Act]:
        async with world.engine.database.transaction() as tx:
            yield Act(tx, finance)

    await matches.match(step)
    open_lines = {tuple(each["texts"]): each for each in (await ask(waiting))["nodes"]}
    named = open_lines[f"Anzahlung {number}",]
    suggestion = named["suggestions"]["nodes"][0]
    assert (suggestion["certainty"], suggestion["order"]) == ("LIKELY", {"number": number})
    accepted = await ask(accept, line=named["id"], suggestion=suggestion["id"])
    assert accepted["bankLine"]["payment"] == {"amount": {"amount": "5.00"}, "orders": {"nodes": [{"number": number}]}}
    assert (await ask(suspend, line=open_lines["Danke",]["id"]))["bankLine"]["status"] == "SUSPENSE"
    assert (await ask(ignore, line=open_lines["Gebühr",]["id"]))["bankLine"]["status"] == "IGNORED"


async def test_payouts_are_matched_with_bank_lines(world: World) -> None:
    waiting, accept, release = steps("Match payouts with bank lines")
    finance = world.viewer("FINANCE")
    given = {"provider": "stripe", "reference": "po_12345678", "net": money("5.00"), "pending": True}
    payout = (await world.do("payoutRecord", **given, arrivesOn="2026-03-01")).done["id"]
    line = await cases_bank.line(world, "5.00", "Stripe")

    @asynccontextmanager
    async def step() -> AsyncIterator[Act]:
        async with world.engine.database.transaction() as tx:
            yield Act(tx, finance)

    await matches.match(step)
    nodes = (await world.ask(waiting, finance))["data"]["bankLines"]["nodes"]
    (suggestions,) = [each["suggestions"]["nodes"] for each in nodes if each["id"] == line]
    assert [each["payout"]["id"] for each in suggestions] == [payout]
    booked = (await world.ask(accept, finance, line=line, payout=payout))["data"]["bankLineAccept"]
    assert booked["userErrors"] == []
    assert booked["bankLine"]["payout"]["status"] == "PAID"
    assert len(booked["bankLine"]["payout"]["bankLines"]["nodes"]) == 1
    released = (await world.ask(release, finance, line=line))["data"]["bankLineRelease"]["bankLine"]
    assert released == {"status": "IGNORED", "statusReason": "It is last month's.", "payout": None}
    assert (await world.do("payoutFail", id=payout)).done


async def test_money_is_refunded(world: World) -> None:
    tried, request, unknown, succeed, fail, cash = steps("Refund money")
    payment, order = await prepaid(world)
    assert (await world.do("paymentAllocate", id=payment, orderId=order, amount=money("4"))).done

    async def ask(query: str, **variables: Any) -> Any:
        answer = await world.ask(query, world.viewer("FINANCE"), **variables)
        assert "errors" not in answer, answer
        ((_, payload),) = answer["data"].items()
        assert not payload.get("userErrors"), payload
        return payload.get("refund") or payload

    (undoes,) = (await ask(tried, payment=payment))["undoes"]
    assert (undoes["orderId"], undoes["amount"]) == (order, {"amount": "2.00"})
    asked = await ask(request, payment=payment)
    assert (asked["status"], asked["payment"]) == ("REQUESTED", {"unallocated": {"amount": "0.00"}})
    assert (await ask(unknown, refund=asked["id"]))["status"] == "UNKNOWN"
    assert (await ask(succeed, refund=asked["id"]))["status"] == "SUCCEEDED"
    assert (await ask(fail, refund=asked["id"]))["statusReason"] == "The account is closed"
    assert (await ask(cash, payment=payment))["status"] == "SUCCEEDED"


async def test_a_chargeback_is_handled(world: World) -> None:
    open, win, lose, settle = steps("Handle a chargeback")
    payment, _ = await prepaid(world)
    finance = world.viewer("FINANCE")

    async def ask(query: str, **variables: Any) -> Any:
        ((_, payload),) = (await world.ask(query, finance, **variables))["data"].items()
        assert payload["userErrors"] == [], payload
        return payload["dispute"]

    assert (await ask(win, dispute=(await ask(open, payment=payment))["id"]))["status"] == "WON"
    lost = await ask(lose, dispute=(await ask(open, payment=payment))["id"])
    assert lost == {"status": "LOST", "payment": {"unallocated": {"amount": "3.00"}}}
    whose = f'{{ payment(id: "{payment}") {{ customer {{ id }} }} }}'
    customer = (await world.ask(whose, finance))["data"]["payment"]["customer"]["id"]
    given: dict[str, Any] = {"customerId": customer, "amount": money("2.00"), "method": "CASH"}
    twice = (await world.do("paymentRecord", **given)).done["id"]
    dispute = (await ask(open, payment=twice))["id"]
    assert (await world.do("refundRecord", "FINANCE", paymentId=twice)).done
    await ask(lose, dispute=dispute)
    answer = (await world.ask(settle, finance, payment=payment, dispute=dispute))["data"]["paymentAllocate"]
    assert answer["userErrors"] == []
    (made,) = answer["payment"]["allocations"]["nodes"]
    assert made == {"amount": {"amount": "2.00"}, "dispute": {"outstanding": {"amount": "0.00"}}}


async def test_revenue_is_reported(world: World) -> None:
    (query,) = steps("See what was sold, earned and received")

    async def shown(role: str) -> list[Any]:
        return (await world.ask(query, world.viewer(role)))["data"]["revenue"]["groups"]  # type: ignore[no-any-return]

    async def booked() -> Decimal:
        amounts = [each["booked"] for each in await shown("FINANCE") if each["month"] == "2026-11"]
        return sum((Decimal(each["amount"]) for each in amounts if each["currency"] == "EUR"), Decimal(0))

    before = await booked()
    await world.order("CONFIRMED")
    assert await booked() - before == Decimal("12.50")
    assert await shown("SUPPORT") == [{**group, "margin": None} for group in await shown("FINANCE")]


async def test_an_order_is_changed(world: World) -> None:
    (amend,) = steps("Change an order")
    order = await world.order("CONFIRMED")
    await world.do("paymentRecord", orderId=order, amount=money("5.00"), method="CASH")
    answer = (await world.ask(amend, world.viewer("FINANCE"), order=order))["data"]["orderAmend"]
    amounts = {name: value["amount"] for name, value in answer["order"].items()}
    assert (answer["userErrors"], amounts) == ([], {"total": "3.00", "paid": "5.00", "outstanding": "0.00"})


async def test_payments_of_a_contract_are_planned(world: World) -> None:
    plan, due = steps("Plan the payments of a contract")
    id = await contract(world, "ACTIVE")
    answer = await world.ask(plan, world.viewer("FINANCE"), contract=id)
    amounts = [each["amount"]["amount"] for each in answer["data"]["contractSetPlan"]["contract"]["payments"]["nodes"]]
    assert amounts == ["30.00", "70.00"]
    owner = await world.user("FINANCE")
    await world.database.execute("UPDATE contract_payments SET owner_id = $1 WHERE n = 2", owner)
    answer = await world.ask(due, world.viewer("FINANCE"), me=id_of("User", owner), until="2026-03-31")
    (mine,) = answer["data"]["mine"]["nodes"]
    assert (mine["dueOn"], mine["overdue"]) == ("2026-03-01", {"amount": "70.00"})
    assert len(answer["data"]["late"]["nodes"]) == 1


async def test_revenue_is_recognised_later(world: World) -> None:
    over_time, brings, counted = steps("Recognise revenue later")
    answer = await world.ask(over_time, world.viewer("FINANCE"), product=await world.product())
    assert answer["data"]["productUpdate"] == {
        "product": {"recognition": "OVER_TIME", "recognitionMonths": 12},
        "userErrors": [],
    }
    answer = await world.ask(brings, world.viewer("FINANCE"), order=await world.order("CONFIRMED"))
    assert answer["data"]["order"]["revenue"]["recognised"] == {"amount": "12.50"}
    answer = await world.ask(counted, world.viewer("ADMIN"))
    assert answer["data"]["companyUpdate"]["company"] == {"revenueStatuses": ["SHIPPED", "DELIVERED"]}


async def test_payments_are_taken_from_a_provider(world: World) -> None:
    create, see, assign, replay, rotate = steps("Take payments from a provider")

    async def ask(query: str, role: str = "FINANCE", **variables: Any) -> Any:
        answer = await world.ask(query, world.viewer(role), **variables)
        assert "errors" not in answer, answer
        payload = next(iter(answer["data"].values()))
        assert not payload.get("userErrors"), payload
        return answer["data"] if "late" in answer["data"] else next(iter(payload.values()))

    KEYS.use(SECRET)
    account = await ask(create, "ADMIN")
    event, order = await cases_providers.waiting(world), await world.order("CONFIRMED")
    assert (await ask(see))["waiting"]["nodes"][0]["id"] == event
    booked = await ask(assign, event=event, order=order)
    assert booked["status"] == "DONE"
    assert booked["payment"]["amount"] == {"amount": "5"}
    assert (await ask(replay, event=event))["status"] == "RECEIVED"
    assert (await ask(rotate, "ADMIN", account=account["id"]))["oldSecretUntil"] > account["secretSetAt"]


async def test_an_order_in_another_currency_is_settled(world: World) -> None:
    rate, record, allocate = steps("Settle an order in another currency")
    finance, customer = world.viewer("FINANCE"), await world.customer()
    set_to = (await world.ask(rate, finance))["data"]["fxRateSet"]
    assert set_to == {"fxRate": {"currency": "JPY", "baseCurrency": "USD", "rate": "0.0062"}, "userErrors": []}
    line = {"quantity": "1", "description": "Thing", "unitPrice": money("10.500", "KWD")}
    order = (await world.do("orderCreate", customerId=customer, currency="KWD", lines=[line])).done["id"]
    await world.do("orderConfirm", id=order)
    payment = (await world.ask(record, finance, customer=customer))["data"]["paymentRecord"]["payment"]["id"]
    answer = (await world.ask(allocate, finance, payment=payment, order=order))["data"]["paymentAllocate"]
    assert answer["userErrors"] == []
    assert answer["payment"]["allocations"]["nodes"] == [
        {"amount": money("10.500", "KWD"), "paid": money("5250", "JPY")}
    ]
    (owed,) = await world.database.fetch(
        "SELECT open FROM open_items WHERE purpose = 'RECEIVABLE' AND order_id = $1", uuid_of(order)
    )
    assert owed["open"] == 0


async def test_an_order_is_invoiced_and_credited(world: World) -> None:
    create, issue, credit, use, early = steps("Invoice an order, and credit it")
    finance, customer = world.viewer("FINANCE"), await world.customer()
    order = await world.order("CONFIRMED", customer)
    (made,) = (await world.ask(create, finance, order=order))["data"].values()
    assert (made["userErrors"], made["invoice"]["total"]) == ([], {"amount": "12.50"})
    (issued,) = (await world.ask(issue, finance, invoice=made["invoice"]["id"]))["data"].values()
    assert issued["userErrors"] == []
    assert issued["invoice"]["instalments"]["nodes"] == [
        {"dueOn": "2026-11-01", "amount": {"amount": "3.75"}},
        {"dueOn": "2026-12-31", "amount": {"amount": "8.75"}},
    ]
    assert issued["invoice"]["order"] == {"status": "INVOICED", "invoiced": {"amount": "12.50"}}
    assert issued["invoice"]["outstanding"] == {"amount": "12.50"}
    await world.do("paymentRecord", orderId=order, amount=money("10.00"), method="CASH")
    (noted,) = (await world.ask(credit, finance, invoice=made["invoice"]["id"]))["data"].values()
    assert noted["userErrors"] == []
    note = noted["creditNote"]
    assert (note["total"], note["creditLeft"]) == ({"amount": "5.00"}, {"amount": "2.50"})
    assert note["invoice"] == {"outstanding": {"amount": "0.00"}, "credited": {"amount": "5.00"}}
    other = await world.order("CONFIRMED", customer)
    (used,) = (await world.ask(use, finance, customer=customer, order=other))["data"].values()
    assert used == {
        "allocation": {"amount": {"amount": "2.50"}, "creditNote": {"creditLeft": {"amount": "0.00"}}},
        "userErrors": [],
    }
    left = (await world.ask(early, finance, invoice=made["invoice"]["id"]))["data"]["creditNoteDryRun"]
    assert (left["endedOn"], left["total"], left["lines"]) == ("2026-11-20", {"amount": "0.00"}, [])


async def test_money_is_reconciled(world: World) -> None:
    share, record, receive, found, close = steps("Reconcile")
    finance = world.viewer("FINANCE")
    order = await world.order("CONFIRMED")
    payment = {"orderId": order, "amount": money("99.00"), "method": "CASH"}
    assert (await world.do("paymentRecord", **payment)).code is None
    payout = (await world.ask(record, finance))["data"]["payoutRecord"]["payout"]
    await work.run(world.engine.database, world.database, kinds.MONEY_RECONCILE, now=NOW + timedelta(days=60))
    (run,) = (await world.ask(found, finance))["data"]["reconciliationRuns"]["nodes"]
    exceptions = run["exceptions"]["nodes"]
    assert run["opened"] >= len(exceptions) > 0
    odd, late = ([each for each in exceptions if each["kind"] == kind] for kind in ("PAYOUT_DIFFERS", "PAYOUT_LATE"))
    assert [each["subject"] for each in (*odd, *late)] == [{"id": payout["id"]}] * 2
    assert odd[0]["amount"] == {"amount": "-0.50", "currency": "EUR"}
    mine = next(each for each in exceptions if each["subject"] == {"id": order})
    assert mine["kind"] == "ORDER_PAYMENT_MISMATCH"
    closed = (await world.ask(close, finance, exception=mine["id"]))["data"]["reconciliationExceptionClose"]
    assert closed["reconciliationException"]["status"] == "CLOSED"
    assert closed["reconciliationException"]["closedBy"] is not None
    paid = (await world.ask(receive, finance, payout=payout["id"]))["data"]["payoutReceive"]["payout"]
    assert paid["status"] == "PAID"
    euros = next(
        each for each in (await world.ask(share, finance))["data"]["moneyExplained"] if each["currency"] == "EUR"
    )
    parts = ("allocated", "credit", "unearned", "refunded", "disputed", "suspense")
    assert Decimal(euros["received"]["amount"]) == sum(Decimal(euros[name]["amount"]) for name in parts)
    assert (await world.ask(share, world.viewer("SUPPORT")))["errors"]


async def test_invoices_are_sent_and_reminded_of(world: World) -> None:
    send, level, stop, resume = steps("Send invoices, and remind of them")
    finance = world.viewer("FINANCE")
    invoice = await cases_invoices.issued(world)

    async def ask(query: str, **given: Any) -> Any:
        (found,) = (await world.ask(query, finance, **given))["data"].values()
        assert found["userErrors"] == []
        return found

    sent = (await ask(send, invoice=invoice))["invoice"]
    assert sent["emails"]["nodes"] == [{"toAddress": "accounts@example.com", "status": "PENDING", "error": None}]
    made = (await ask(level))["dunningLevel"]
    assert (made["level"], made["afterDays"], made["active"]) == (1, 7, True)
    assert (await ask(stop, invoice=invoice))["invoice"]["dunningStopReason"].startswith("One was broken")
    assert (await ask(resume, invoice=invoice))["invoice"] == {"dunningStopReason": None}


async def test_credit_notes_and_statements_are_sent(world: World) -> None:
    note, statement = steps("Send credit notes and statements")
    finance = world.viewer("FINANCE")
    made = await world.do("creditNoteIssue", invoiceId=await cases_invoices.issued(world), reason="Broken")
    answer = (await world.ask(note, finance, creditNote=made.done["id"]))["data"]["creditNoteSend"]
    assert answer["userErrors"] == []
    customer = await world.customer()
    answer = (await world.ask(statement, finance, customer=customer))["data"]["customerStatementSend"]
    assert (answer["userErrors"], answer["customer"]) == ([], {"id": customer})
    mails = """{ emailMessages { nodes { toAddress creditNote { id } statementSince statementUntil statementCurrency } } }"""
    told, noted, *_ = (await world.ask(mails, finance))["data"]["emailMessages"]["nodes"]
    assert noted["creditNote"] == {"id": made.done["id"]}
    assert told == {
        "toAddress": "accounts@example.com",
        "creditNote": None,
        "statementSince": "2026-01-01",
        "statementUntil": str(NOW.date()),
        "statementCurrency": "EUR",
    }


async def test_the_books_are_read(world: World) -> None:
    code, balance, entries = steps("Read the books")
    await world.order("CONFIRMED")
    finance = world.viewer("FINANCE")
    assert (await world.ask(code, finance))["data"]["accountCodeSet"]["accountCode"]["version"] == 1
    accounts = (await world.ask(balance, finance))["data"]["trialBalance"]["accounts"]
    codes = {each["purpose"]: each["code"] for each in accounts}
    assert (codes["RECEIVABLE"], codes["REVENUE"]) == ("1200", None)
    entry, *_ = (await world.ask(entries, finance))["data"]["ledgerEntries"]["nodes"]
    assert entry["customer"] == {"name": "Acme"}
    assert [(each["debit"], each["credit"]) for each in entry["postings"]] == [("RECEIVABLE", "REVENUE")]


async def test_the_readme_shows_money(world: World) -> None:
    (query,) = steps("Money", ROOT / "README.md")
    order = uuid_of(await world.order("CONFIRMED"))
    await world.database.execute("UPDATE orders SET number = 'SO-2441' WHERE id = $1", order)
    answer = await world.ask(query.replace('"USD"', '"EUR"'), world.viewer("FINANCE"))
    (total,) = answer["data"]["receivables"]["totals"]
    (shown,) = answer["data"]["orders"]["nodes"]
    assert shown["revenue"]["outstanding"] == {"amount": "12.50"}
    assert Decimal(total["outstanding"]["amount"]) == sum(Decimal(each["amount"]["amount"]) for each in total["ageing"])


def test_every_section_has_its_steps_run() -> None:
    """Only what is done on the command line has no documents."""
    sections = re.findall(r"^## (.*)", PAGE.read_text("utf-8"), re.M)
    tested = Path(__file__).read_text("utf-8")
    assert [each for each in sections if steps(each) and f'steps("{each}")' not in tested] == []


async def test_months_are_forecast(world: World) -> None:
    (query,) = steps("Forecast")
    await world.order("SHIPPED")
    month, *_ = (await world.ask(query, world.viewer("FINANCE")))["data"]["forecast"]
    assert (month["month"], month["currency"], month["expected"]) == ("2026-11", "EUR", month["booked"])
