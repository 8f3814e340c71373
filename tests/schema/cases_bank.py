"""Cases of accounts at banks, their statements and lines."""

from __future__ import annotations

import base64
from typing import Any
from uuid import uuid4

from tests.domain.money import statements
from tests.domain.money.statements import Entry, Part
from tests.schema.cases import case, move
from tests.schema.world import World, id_of, money, uuid_of

FINANCE = "ADMIN FINANCE"


async def account(world: World, *, currency: str = "EUR") -> str:
    given = {"name": f"Giro {uuid4().hex}", "number": f"DE{uuid4().hex}".upper(), "currency": currency}
    return id_of("BankAccount", await world.insert("bank_accounts", **given))


async def file(world: World, account: str, amount: str = "5.00", text: str = "For the thing") -> str:
    """A camt.053 file of one line, in base64."""
    number = await world.database.fetchval("SELECT number FROM bank_accounts WHERE id = $1", uuid_of(account))
    entry = Entry(amount, [Part(name="Somebody", texts=(text,))], bank_id=uuid4().hex)
    return base64.b64encode(statements.document(statements.statement(entry, iban=number))).decode()


async def line(world: World, amount: str = "5.00", text: str = "For the thing") -> str:
    its = await account(world)
    assert (await world.do("bankStatementImport", bankAccountId=its, content=await file(world, its, amount, text))).done
    found = await world.database.fetchval("SELECT id FROM bank_lines WHERE account_id = $1", uuid_of(its))
    return id_of("BankLine", found)


@case("bankAccountCreate", FINANCE)
async def bank_account_create(world: World, role: str) -> dict[str, Any]:
    columns = {"booked_on": "Day", "amount": "Amount"}
    given = {"name": f"Giro {uuid4().hex}", "number": f"DE {uuid4().hex}", "currency": "EUR"}
    return {**given, "layout": {"columns": columns}}


@case("bankStatementImport", FINANCE)
async def bank_statement_import(world: World, role: str) -> dict[str, Any]:
    its = await account(world)
    return {"bankAccountId": its, "content": await file(world, its)}


@case("bankLineAccept", FINANCE, events=2)
async def bank_line_accept(world: World, role: str) -> dict[str, Any]:
    return {"id": await line(world), "customerId": await world.customer()}


async def of_payout(world: World) -> str:
    """A line that is a payout, in its first version, as the others are."""
    given = {"provider": "stripe", "reference": f"po_{uuid4().hex}", "net": money("5.00"), "pending": True}
    payout, its = (await world.do("payoutRecord", **given)).done["id"], await line(world)
    assert (await world.do("bankLineAccept", id=its, payoutId=payout)).done
    await world.database.execute("UPDATE bank_lines SET version = 1 WHERE id = $1", uuid_of(its))
    return its


@case("bankLineRelease", FINANCE, events=2)
async def bank_line_release(world: World, role: str) -> dict[str, Any]:
    return {"id": await of_payout(world), "reason": "It was another one."}


@case("bankLineToSuspense", FINANCE, events=2)
async def bank_line_to_suspense(world: World, role: str) -> dict[str, Any]:
    return {"id": await line(world)}


move("bankAccountUpdate", FINANCE, account, layout={"columns": {"booked_on": "Day", "amount": "Amount"}})
move("bankLineIgnore", FINANCE, line, reason="Fee of the bank.")
