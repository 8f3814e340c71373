"""Entries of the books: of customers that various people own, and the company's own; some reverse or end others."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from tests.access.dice import Row, key, moment

ENTRIES = 26
PURPOSES = ("RECEIVABLE", "REVENUE", "TAX", "BANK", "UNEARNED")


def fill(made: dict[str, list[Row]]) -> None:
    for number in range(1, ENTRIES + 1):
        customer = None if number % 9 == 0 else key("customers", (number - 1) % 18 + 1)
        record, source = _source(made, number, customer)
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
                "source_type": record,
                "source_id": source,
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
    _reconciliation(made)


def _source(made: dict[str, list[Row]], number: int, customer: Any) -> tuple[str, Any]:
    """What an entry is about: of its customer where that has such a record, else of another one."""
    record = ("Invoice", "Payment", "Order", "Import", "Order", "Payment", "Order", "Import")[number % 8]
    if record == "Import":
        return record, made["orders"][number - 1]["customer_id"]
    table = f"{record.lower()}s"
    own = [at for at, each in enumerate(made[table], 1) if each["customer_id"] == customer]
    return record, key(table, own[number % len(own)] if own else number)


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


def _reconciliation(made: dict[str, list[Row]]) -> None:
    """Payouts, and what two runs found: of orders and payments that various people see, and of the company."""
    for number, status in enumerate(("EXPECTED", "PAID", "FAILED"), 1):
        made["payouts"].append(
            {
                "provider": "stripe",
                "reference": f"po-{number}",
                "currency": "USD",
                "gross_amount": Decimal("12.00") if number % 2 else None,
                "fees_amount": Decimal("1.00") if number % 2 else None,
                "reserve_amount": Decimal("-1.50") if number == 3 else None,
                "net_amount": Decimal("10.50") * (-1 if number == 2 else 1),
                "fees_booked": number != 3,
                "arrives_on": date(2026, 1, 10 + number) if number < 3 else None,
                "status": status,
                "status_reason": "It is closed." if status == "FAILED" else None,
                "paid_at": moment(number) if status == "PAID" else None,
            }
        )
    for number in (1, 2):
        made["reconciliation_runs"].append(
            {
                "reconciled_on": date(2026, 1, 20 + number),
                "finished_at": moment(number) if number == 1 else None,
                "customers": 18,
                "found": 10 * number,
                "opened": 5 * number,
                "closed": number,
            }
        )
    kinds = ("ORDER_PAYMENT_MISMATCH", "DUPLICATE_PAYMENT", "UNEXPLAINED_CLEARING", "OVERDUE")
    for number in range(1, 13):
        kind, closed = kinds[number % 4], number % 3 == 0
        table, record = ("payments", "Payment") if kind == "DUPLICATE_PAYMENT" else ("orders", "Order")
        customer = None if kind == "UNEXPLAINED_CLEARING" else made[table][number - 1]["customer_id"]
        made["reconciliation_exceptions"].append(
            {
                "run_id": key("reconciliation_runs", 1 + number % 2),
                "kind": kind,
                "owner_id": customer or key("companies", 1),
                "customer_id": customer,
                "subject_type": record if customer else "Company",
                "subject_id": key(table, number) if customer else key("companies", 1),
                "amount": Decimal(5 - number) if customer else None,
                "currency": ("JPY", "BRL", "CLP")[number // 4] if customer is None else "JPY",
                "finding": f"Something is odd in {number}.",
                "status": "CLOSED" if closed else "OPEN",
                "found_at": moment(number),
                "closed_at": moment(number + 2) if closed else None,
                "closed_by_id": key("users", 2) if closed else None,
                "reason": "It is well." if closed else None,
            }
        )
