"""Entries of the books: of customers that various people own, and the company's own; some reverse or end others."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from tests.access.dice import Row, key, moment

ENTRIES = 26
PURPOSES = ("RECEIVABLE", "REVENUE", "TAX", "BANK", "UNEARNED")


def fill(made: dict[str, list[Row]]) -> None:
    for number in range(1, ENTRIES + 1):
        customer = None if number % 9 == 0 else key("customers", (number - 1) % 18 + 1)
        order = made["orders"][number - 1]
        orders = number % 4 != 3
        phase = {11: "PENDING", 12: "VOIDED", 13: "PENDING", 14: "POSTED"}.get(number, "POSTED")
        made["ledger_entries"].append(
            {
                "company_id": key("companies", 1),
                "customer_id": customer,
                "owner_id": customer or key("companies", 1),
                "kind": ("order.confirmed", "payment.received", "year.closed")[number % 3],
                "phase": phase,
                "reverses_id": key("ledger_entries", number - 1) if number in (3, 22) else None,
                "resolves_id": key("ledger_entries", number - 1) if number in (12, 14) else None,
                "key": f"entry {number}",
                "request_hash": f"{number:064x}",
                "source_type": "Order" if orders else "Import",
                "source_id": key("orders", number) if orders else order["customer_id"],
                "actor_id": key("users", (5, 2, None)[number % 3]),
                "effective_on": date(2026, 1, 1 + number % 20),
                "recorded_at": moment(number),
                "is_adjusting": number % 7 == 0,
                "base_currency": "KWD",
                "size": 0 if phase == "VOIDED" else 1 + number % 3,
            }
        )
    for number, purpose in enumerate(PURPOSES, 1):
        made["account_codes"].append(
            {
                "company_id": key("companies", 1),
                "purpose": purpose,
                "code": str(1000 + number * 7 % 5),
                "name": purpose.title(),
                "name_zh": "银行" if purpose == "BANK" else None,
            }
        )


def postings(entry: Row) -> list[Row]:
    """Those of an entry, in their order."""
    own = {name: entry[name] for name in ("owner_id", "size", "phase", "effective_on", "base_currency")}
    return [
        own
        | {
            "entry_id": entry["id"],
            "n": n,
            "debit": "BANK",
            "credit": ("FEES", "REVENUE", "TAX")[n % 3],
            "currency": "USD",
            "amount": Decimal(n * 100 + entry["size"]) / 100,
            "base_amount": Decimal(f"0.{300 + n}"),
        }
        for n in range(1, entry["size"] + 1)
    ]
