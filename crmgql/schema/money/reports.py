"""The trial balance."""

from __future__ import annotations

from typing import Any

from crmgql.domain.money import trial_balances
from crmgql.engine.computed import Ask, computed
from crmgql.engine.scalars import CurrencyCode, DateText
from crmgql.engine.strawberries import Argument, Field, enum_type, lazy, list_of, object_type, optional
from crmgql.ledger.accounts import Type

MONEY = lazy("Money")

object_type(
    "TrialBalanceAccount",
    [
        Field("purpose", lazy("AccountPurpose")),
        Field("type", enum_type("AccountType", Type)),
        Field("code", optional(str), "What the accountant's system calls it."),
        Field("name", optional(str)),
        Field("nameZh", optional(str)),
        Field("currency", CurrencyCode),
        Field("debit", MONEY, "All that was debited."),
        Field("credit", MONEY, "All that was credited."),
        Field("balance", MONEY, "Debits − credits."),
        Field("base", MONEY, "The balance in the base currency of the books."),
    ],
    "What an account has in one currency, over all customers and the company.",
)
object_type(
    "TrialBalance",
    [
        Field("asOf", optional(DateText)),
        Field("accounts", list_of(lazy("TrialBalanceAccount")), "By currency, then assets first, expenses last."),
        Field("base", MONEY, "The sum over the accounts in base currency: 0, unless only one currency was asked for."),
    ],
    "What each account of the books has.",
)


@computed(
    "trialBalance",
    lazy("TrialBalance"),
    arguments=(
        Argument("asOf", DateText, doc="As of the end of this day of the company; by default all that is posted."),
        Argument("currency", CurrencyCode, doc="Only accounts in this currency."),
    ),
    calls=trial_balances.trial_balance,
)
async def trial_balance(ask: Ask, **values: Any) -> Any:
    """What each account of the books has. It takes the permission `ledger.read` for all."""
    return await trial_balances.trial_balance(ask.database, ask.viewer, **values)
