"""What a constraint that waits for the commit says when it refuses: a coded error, by the constraint's name.

Enters: asyncpg's error of a COMMIT. Leaves: what the client is told. Verbs and imports write what fits, so mostly it is two
requests that fit only apart; the log has the name in each case.
"""

from __future__ import annotations

import asyncpg
import structlog

from crmgql.errors import Conflict, CreditLimit

log = structlog.get_logger("crmgql")

ORDER = "The order would no longer be what the books say of it"
PAYMENT = "The payment would no longer be what the books say of it"
ALLOCATION = "The allocation would not be what the books say of it"
WRITE_OFF = "The write-off would not be what the books say of it"
INVOICE = "The invoice would not be what the books say of it"
CREDIT_NOTE = "The credit note would not be what the books say of it"
DISPUTE = "The dispute would not be what the books say of it"
PAYOUT = "The payout would not be what the books say of it"
REFUND = "The refund would not be what the books say of it"
REASONS = {
    "orders_booked": ORDER,
    "orders_newest": ORDER,
    "order_lines_booked": ORDER,
    "revenue_lines_line": ORDER,
    "revenue_records_lines": ORDER,
    "revenue_records_posted": ORDER,
    "revenue_records_scheduled": ORDER,
    "open_items_live_order": "An order that is owed or paid would no longer be confirmed",
    "payments_posted": PAYMENT,
    "payments_kept": PAYMENT,
    "allocations_posted": ALLOCATION,
    "allocations_undone": ALLOCATION,
    "suspense_receipts_posted": "The money in suspense would not be what the books say of it",
    "payments_suspense_kept": PAYMENT,
    "payments_passed_on_posted": PAYMENT,
    "payments_paid_from_kept": PAYMENT,
    "customers_merged_circle": "A customer would live on in itself",
    "postings_transfer": "What one customer gives would not be what another takes",
    "write_offs_posted": WRITE_OFF,
    "write_offs_recorded": WRITE_OFF,
    "invoices_posted": INVOICE,
    "credit_notes_posted": CREDIT_NOTE,
    "disputes_posted": DISPUTE,
    "payouts_posted": PAYOUT,
    "bank_lines_as_booked": "The bank's line would not be what it is booked as",
    "refunds_posted": REFUND,
    "commission_splits_whole": "The shares of an order's owners would not sum to 100 per cent",
    "postings_exchange": "What goes from one currency into another would not be the same in base currency",
}


def at_commit(error: asyncpg.IntegrityConstraintViolationError) -> Conflict:
    """The error for a transaction that the database refused as a whole. Nothing of it was written."""
    name = str(error.constraint_name or "")
    log.warning("commit refused", constraint=name, sqlstate=error.sqlstate)
    if name == "customers_credit_limit":
        return CreditLimit(f"{error} Have it approved by creditApprove, or be paid first.", field="id")
    reason = REASONS.get(name, f"What was written breaks the rule {name}")
    return Conflict(f"{reason}; nothing was written. Read it again, it may have changed in the meantime.")
