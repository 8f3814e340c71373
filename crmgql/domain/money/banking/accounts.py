"""Our accounts at banks: which one a file is of, and how its bank writes CSV files."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.money.bank import layouts, lines
from crmgql.domain.money.bank.layouts import Layout
from crmgql.errors import BadUserInput
from crmgql.models import BankAccount
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

FACTS = "name layout"
LONGEST_NUMBER = 50
CONFLICTS = {
    "bank_accounts_name": ("name", "Another bank account has this name, in upper or lower case."),
    "bank_accounts_number": ("number", "This account is there already, in this currency."),
}
NAMED = "SELECT * FROM bank_accounts WHERE lower(name) = lower($1) OR number = $2 ORDER BY id LIMIT 2"


@takes(BankAccount, FACTS, "currency", ORIGIN)
async def create(act: Act, *, number: str, **values: Any) -> UUID:
    """Makes an account. `number`: its IBAN or other number, with or without spaces. Raises `BadUserInput`, `Conflict`."""
    access.require_write(act.viewer, "BankAccount")
    checks.check_text(number, "number", longest=LONGEST_NUMBER, required=True)
    values["number"] = lines.account_number(number)
    if not values["number"]:
        raise BadUserInput("An account's number has letters or digits.", field="number")
    if not money.is_code(values["currency"]):
        raise BadUserInput(f"{values['currency']!r} is not a currency code such as EUR.", field="currency")
    if values.get("layout") is not None:
        layout_of(values)
    account = await records.create(act, BankAccount, values, kind="bankAccount.created", conflicts=CONFLICTS)
    return account["id"]  # type: ignore[no-any-return]


@takes(BankAccount, FACTS)
async def update(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes the name, or how the bank writes CSV files; number and currency stay."""
    access.require_write(act.viewer, "BankAccount")
    account = await records.lock(act, BankAccount, id, expected_version=expected_version)
    if changes.get("layout") is not None:
        layout_of(account | changes)
    await records.change(act, BankAccount, account, changes, kind="bankAccount.updated", conflicts=CONFLICTS)
    return id


def layout_of(account: Row) -> Layout:
    """The layout with the account's number and currency, where the files have no column for these. Raises `BadUserInput`."""
    table = account["layout"]
    if not isinstance(table, dict):
        raise BadUserInput("A layout is a table with `columns` and more, as docs/howto/money.md shows.", field="layout")
    columns = table.get("columns")
    named = columns if isinstance(columns, dict) else {}
    given = {"account": account["number"], "currency": account["currency"]}
    return layouts.layout({name: value for name, value in given.items() if not named.get(name)} | table)


async def named(act: Act, text: str) -> UUID:
    """The account with this name or number. Raises `BadUserInput` for none, and for a number in several currencies."""
    rows = await act.tx.connection.fetch(NAMED, text, lines.account_number(text))
    if len(rows) != 1:
        found = f"{len(rows)} bank accounts are" if rows else "no bank account is"
        raise BadUserInput(f"{found[:1].upper()}{found[1:]} called {text!r}; give the name of one.", field="account")
    return rows[0]["id"]  # type: ignore[no-any-return]
