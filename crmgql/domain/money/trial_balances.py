"""The trial balance: what each account of the books has, over all owners. Σ of it is 0, in each currency and in base currency."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from crmgql import access
from crmgql.access import Reach
from crmgql.db import Database
from crmgql.errors import Forbidden
from crmgql.ledger.accounts import TYPES
from crmgql.models import Purpose
from crmgql.records import checks
from crmgql.viewer import Viewer

KEPT = "SELECT purpose, currency, debit, credit, base FROM balances"
AS_OF = """
    SELECT debit AS purpose, currency, amount AS debit, 0 * amount AS credit, base_amount AS base FROM postings
    WHERE phase = 'POSTED' AND effective_on <= {as_of}::date
    UNION ALL
    SELECT credit, currency, 0 * amount, amount, -base_amount FROM postings
    WHERE phase = 'POSTED' AND effective_on <= {as_of}::date"""
TEMPLATE = """
WITH sides AS ({sides}), accounts AS (
    SELECT s.purpose, s.currency, c.code, c.name, c.name_zh, round(sum(s.debit), currency_scale(s.currency))::text AS debit,
        round(sum(s.credit), currency_scale(s.currency))::text AS credit,
        round(sum(s.debit - s.credit), currency_scale(s.currency))::text AS balance, round(sum(s.base), currency_scale(b.currency))::text AS base
    FROM sides s CROSS JOIN books b LEFT JOIN account_codes c ON c.company_id = b.company_id AND c.purpose = s.purpose
    WHERE {{currency}}::text IS NULL OR s.currency = {{currency}}
    GROUP BY s.purpose, s.currency, c.code, c.name, c.name_zh, b.currency
)
SELECT jsonb_build_object('base', (SELECT currency FROM books), 'accounts',
    (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY currency, purpose), '[]') FROM accounts a)) AS data, 0 AS nodes"""
ORDER = {purpose: number for number, purpose in enumerate(TYPES)}
"""Accounts as balance sheets have them: assets first, expenses last."""


async def trial_balance(
    database: Database, viewer: Viewer, *, as_of: date | None = None, currency: str | None = None
) -> dict[str, Any]:
    """Each account with its sums in each currency, as of the end of a day, or of all that is posted.

    `currency`: only the accounts in it. Raises `Forbidden` without `ledger.read` for all, `BadUserInput`.
    """
    access.require_read(viewer.who, "LedgerEntry")
    if access.reach(viewer.who, "ledger.read") is not Reach.ALL:
        raise Forbidden("The trial balance takes the permission ledger.read for all.")
    if as_of is not None:
        checks.check_year(as_of, "asOf")
    template = TEMPLATE.format(sides=KEPT if as_of is None else AS_OF)
    row = await database.fetch_json(*access.statement(template, viewer, selects={}, as_of=as_of, currency=currency))
    found = orjson.loads(row["data"])
    accounts = [_shown(each, found["base"]) for each in found["accounts"]]
    accounts.sort(key=lambda each: (each["currency"], ORDER[each["purpose"]]))
    total = sum((each["base"]["amount"] for each in accounts), Decimal(0))
    return {"asOf": as_of, "accounts": accounts, "base": {"amount": total, "currency": found["base"]}}


def _shown(account: dict[str, Any], base: str) -> dict[str, Any]:
    own = account["currency"]
    amounts = {name: {"amount": Decimal(account[name]), "currency": own} for name in ("debit", "credit", "balance")}
    return {
        "purpose": account["purpose"],
        "type": TYPES[Purpose(account["purpose"])],
        "code": account["code"],
        "name": account["name"],
        "nameZh": account["name_zh"],
        "currency": own,
        **amounts,
        "base": {"amount": Decimal(account["base"]), "currency": base},
    }
