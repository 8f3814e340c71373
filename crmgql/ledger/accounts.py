"""The accounts: of which type each purpose is, and which are kept by open items. Pure.

An account is an owner, a purpose and a currency; it has no row. The owner is a customer, or the company for what is no
customer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from crmgql.models import ItemPurpose, Purpose


class Type(StrEnum):
    """Assets and expenses grow by debits, the others by credits."""

    ASSET = "ASSET"
    LIABILITY = "LIABILITY"
    EQUITY = "EQUITY"
    INCOME = "INCOME"
    EXPENSE = "EXPENSE"


GROUPS: dict[Type, str] = {
    Type.ASSET: "RECEIVABLE BANK CLEARING DISPUTED INVENTORY REVALUATION EXCHANGE TRANSFER",
    Type.LIABILITY: "UNEARNED CREDIT DEFERRED SUSPENSE TAX COMMISSION_PAYABLE PAYROLL_PAYABLE",
    Type.EQUITY: "OPENING RETAINED",
    Type.INCOME: "REVENUE SHIPPING REFUNDS FX_GAIN FX_LOSS UNREALISED_FX ROUNDING",
    Type.EXPENSE: "COST FEES WRITE_OFF COMMISSION",
}
TYPES = {Purpose(name): type for type, names in GROUPS.items() for name in names.split()}
ITEM_PURPOSES = frozenset(map(str, ItemPurpose))
DEBIT_ITEMS = frozenset({Purpose.RECEIVABLE, Purpose.DISPUTED})
"""Items whose rest is their debits minus their credits; of the others it is the other way round."""


@dataclass(frozen=True, slots=True)
class Account:
    """One side of a posting. `item_id` and its due date belong to the purposes of `ITEM_PURPOSES`, and to no other."""

    purpose: Purpose
    item_id: UUID | None = None
    due_on: date | None = None

    def __post_init__(self) -> None:
        if (self.purpose in ITEM_PURPOSES) != (self.item_id is not None):
            raise ValueError(f"{self.purpose} is {'kept by open items' if self.item_id is None else 'no item'}.")
