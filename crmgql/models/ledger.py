"""The books: entries and their postings, open items, balances, chains of hashes, periods, exchange rates (docs/ledger.md).

Entries, postings, links, anchors and rates are never changed. Heads, links, balances and the sums of open items are kept by the
trigger `keep_books` and by nothing else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.fields.db_defaults import Now
from tortoise.models import Model

from crmgql.models.base import (
    UUIDV7,
    WITHOUT_OVERLAPS,
    AmountField,
    CompositeKey,
    DayRangeField,
    Editable,
    KeyField,
    NumberField,
    Record,
    Undescribed,
    UuidArrayField,
    amounts,
    check,
    index,
    one_of,
    origin_unique,
    partial,
    unique,
)


class Purpose(StrEnum):
    """What an account is for; `crmgql.ledger.accounts` says of which type each is."""

    RECEIVABLE = "RECEIVABLE"
    BANK = "BANK"
    CLEARING = "CLEARING"
    DISPUTED = "DISPUTED"
    INVENTORY = "INVENTORY"
    REVALUATION = "REVALUATION"
    EXCHANGE = "EXCHANGE"
    TRANSFER = "TRANSFER"
    UNEARNED = "UNEARNED"
    CREDIT = "CREDIT"
    DEFERRED = "DEFERRED"
    SUSPENSE = "SUSPENSE"
    TAX = "TAX"
    COMMISSION_PAYABLE = "COMMISSION_PAYABLE"
    PAYROLL_PAYABLE = "PAYROLL_PAYABLE"
    OPENING = "OPENING"
    RETAINED = "RETAINED"
    REVENUE = "REVENUE"
    SHIPPING = "SHIPPING"
    REFUNDS = "REFUNDS"
    FX_GAIN = "FX_GAIN"
    FX_LOSS = "FX_LOSS"
    UNREALISED_FX = "UNREALISED_FX"
    ROUNDING = "ROUNDING"
    COST = "COST"
    FEES = "FEES"
    WRITE_OFF = "WRITE_OFF"
    COMMISSION = "COMMISSION"


class ItemPurpose(StrEnum):
    """The purposes whose accounts are kept by open items: each posting to them names one."""

    RECEIVABLE = "RECEIVABLE"
    DISPUTED = "DISPUTED"
    UNEARNED = "UNEARNED"
    CREDIT = "CREDIT"
    SUSPENSE = "SUSPENSE"


class Phase(StrEnum):
    """PENDING: asked for, and held against the rest of its items. VOIDED: ends a pending entry, and moves nothing."""

    POSTED = "POSTED"
    PENDING = "PENDING"
    VOIDED = "VOIDED"


class PeriodStatus(StrEnum):
    """SOFT_CLOSED: adjusting entries only."""

    OPEN = "OPEN"
    SOFT_CLOSED = "SOFT_CLOSED"
    CLOSED = "CLOSED"


ITEMS = one_of("{}", ItemPurpose)
IS_DEBIT_ITEM = "purpose = 'RECEIVABLE' OR purpose = 'DISPUTED'"
OPEN = f"CASE WHEN {IS_DEBIT_ITEM} THEN debited - credited ELSE credited - debited END"
LIVE = "purpose = 'RECEIVABLE' AND (settled <> 0 OR debited <> credited)"
"""Something of it is open or was paid: its order is committed."""

FREE = f"CASE WHEN {IS_DEBIT_ITEM} THEN debited - credited - crediting ELSE credited - debited - debiting END"
PLAIN = "{} !~ '[\\x01-\\x1f\\x7f\\\\]'"
"""No tab, line break or backslash: the text that is hashed need escape nothing."""


class Books(Model, metaclass=Undescribed):
    """A company's set of books, in its base currency."""

    company_id = fields.UUIDField(primary_key=True)
    currency = fields.CharField(max_length=3)

    class Meta:
        table = "books"
        constraints = [check("books_currency_known", "currency_scale(currency) IS NOT NULL")]
        composite_keys = (CompositeKey("books_company_id_fkey", ("company_id",), "companies", ("id",)),)


class AccountingPeriod(Editable):
    """Days that are open, soft closed or closed together. Days without a period are open.

    `status_reason`: why it was reopened the last time, while it is.
    """

    company: Any = fields.ForeignKeyField("crm.Company", related_name="periods", on_delete=fields.RESTRICT)
    first_on = fields.DateField()
    last_on = fields.DateField()
    days = DayRangeField(null=True)
    status = fields.CharField(max_length=20, db_default="OPEN")
    closed_at: Any = fields.DatetimeField(null=True)
    status_reason: Any = fields.CharField(max_length=1000, null=True)

    class Meta:
        table = "accounting_periods"
        stored = {"days": "daterange(first_on, last_on, '[]')"}
        constraints = [
            origin_unique("accounting_periods"),
            unique("accounting_periods_apart", "company_id", f"days{WITHOUT_OVERLAPS}"),
            check("accounting_periods_status", one_of("status", PeriodStatus)),
            check("accounting_periods_days", "first_on <= last_on"),
            check("accounting_periods_closed", "(closed_at IS NULL) = (status = 'OPEN')"),
        ]
        indexes = [
            index("accounting_periods_created", "created_at", "id"),
            index("accounting_periods_first", "first_on", "id"),
        ]


class LedgerEntry(Model, metaclass=Undescribed):
    """What one event posts: `size` postings, written with it in one statement.

    The owner is the customer, or the company for what is no customer's. `effective_on` is the company's day that it counts on.
    `opens`: how many open items come with it.
    """

    id = KeyField(primary_key=True, db_default=UUIDV7)
    company_id = fields.UUIDField()
    customer: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="ledger_entries", null=True, on_delete=fields.RESTRICT
    )
    owner_id = fields.UUIDField()
    kind = fields.CharField(max_length=60)
    phase = fields.CharField(max_length=10, db_default="POSTED")
    reverses_id: Any = fields.UUIDField(null=True)
    resolves_id: Any = fields.UUIDField(null=True)
    key = fields.CharField(max_length=200)
    request_hash = fields.CharField(max_length=64)
    source_type = fields.CharField(max_length=40)
    source_id = fields.UUIDField()
    actor: Any = fields.ForeignKeyField("crm.User", related_name="ledger_entries", null=True, on_delete=fields.RESTRICT)
    effective_on = fields.DateField()
    recorded_at = fields.DatetimeField(db_default=Now())
    is_adjusting = fields.BooleanField(db_default=False)
    base_currency = fields.CharField(max_length=3)
    size = fields.SmallIntField()
    opens = fields.SmallIntField(db_default=0)

    class Meta:
        table = "ledger_entries"
        constraints = [
            unique("ledger_entries_key", "owner_id", "key"),
            unique("ledger_entries_reversed_once", "owner_id", "reverses_id", where="reverses_id IS NOT NULL"),
            unique("ledger_entries_resolved_once", "owner_id", "resolves_id", where="resolves_id IS NOT NULL"),
            unique("ledger_entries_owner_id", "owner_id", "id"),
            check("ledger_entries_owner", "owner_id = coalesce(customer_id, company_id)"),
            check("ledger_entries_phase", one_of("phase", Phase)),
            check("ledger_entries_opens", "opens >= 0"),
            check("ledger_entries_size", "size >= 0 AND (size = 0) = (phase = 'VOIDED')"),
            check("ledger_entries_reverses", "reverses_id IS NULL OR phase = 'POSTED'"),
            check(
                "ledger_entries_resolves",
                "CASE phase WHEN 'PENDING' THEN resolves_id IS NULL WHEN 'VOIDED' THEN"
                " resolves_id IS NOT NULL ELSE num_nonnulls(reverses_id, resolves_id) < 2 END",
            ),
            check("ledger_entries_plain", " AND ".join(PLAIN.format(each) for each in ("kind", "key", "source_type"))),
            check("ledger_entries_request_hash", "request_hash ~ '^[0-9a-f]{64}$'"),
        ]
        composite_keys = (
            CompositeKey(
                "ledger_entries_reverses_fkey", ("owner_id", "reverses_id"), "ledger_entries", ("owner_id", "id")
            ),
            CompositeKey(
                "ledger_entries_resolves_fkey", ("owner_id", "resolves_id"), "ledger_entries", ("owner_id", "id")
            ),
        )
        indexes = [
            index("ledger_entries_customer", "customer_id", "id"),
            index("ledger_entries_actor", "actor_id", "id"),
            index("ledger_entries_source", "source_id", "id"),
        ]


class OpenItem(Model, metaclass=Undescribed):
    """What has to come back to zero: a receivable, a payment's rest, a customer's credit, a dispute, money of nobody.

    `debited`, `credited` are posted, `debiting`, `crediting` pending; `settled` is what money, credit or a write-off took off
    a receivable. `base` is the rest in base currency. What it is, it is for ever: `n` of `opens` items of the entry that opened
    it, in whose text it is hashed.
    """

    id = fields.UUIDField(primary_key=True)
    owner_id = fields.UUIDField()
    customer: Any = fields.ForeignKeyField(
        "crm.Customer", related_name="open_items", null=True, on_delete=fields.RESTRICT
    )
    purpose = fields.CharField(max_length=24)
    currency = fields.CharField(max_length=3)
    order: Any = fields.ForeignKeyField("crm.Order", related_name="open_items", null=True, on_delete=fields.RESTRICT)
    payment: Any = fields.ForeignKeyField(
        "crm.Payment", related_name="open_items", null=True, on_delete=fields.RESTRICT
    )
    entry_id = fields.UUIDField()
    n = fields.SmallIntField()
    opens = fields.SmallIntField()
    opened_on = fields.DateField()
    due_on: Any = fields.DateField(null=True)
    invoice_id: Any = fields.UUIDField(null=True)
    credit_note_id: Any = fields.UUIDField(null=True)
    dispute_id: Any = fields.UUIDField(null=True)
    suspense_id: Any = fields.UUIDField(null=True)
    debited = AmountField(db_default=0)
    credited = AmountField(db_default=0)
    debiting = AmountField(db_default=0)
    crediting = AmountField(db_default=0)
    settled = AmountField(db_default=0)
    base = AmountField(db_default=0)
    open = AmountField(null=True)
    free = AmountField(null=True)
    live_order_id: Any = fields.UUIDField(null=True)
    live: Any = fields.BooleanField(null=True)

    class Meta:
        table = "open_items"
        stored = {"open": OPEN, "free": FREE, "live_order_id": f"CASE WHEN {LIVE} THEN order_id END", "live": "true"}
        constraints = [
            unique("open_items_parts", "owner_id", "id", "purpose", "currency"),
            unique("open_items_of_entry", "owner_id", "entry_id", "n"),
            check("open_items_n", "n BETWEEN 1 AND opens"),
            check("open_items_owner", "customer_id IS NULL OR customer_id = owner_id"),
            check("open_items_purpose", one_of("purpose", ItemPurpose)),
            check("open_items_currency_known", "currency_scale(currency) IS NOT NULL"),
            check("open_items_not_over", "free >= 0"),
            check("open_items_pending", "debiting >= 0 AND crediting >= 0"),
            check("open_items_base", "open <> 0 OR base = 0"),
        ]
        composite_keys = (
            CompositeKey("open_items_order", ("customer_id", "order_id"), "orders", ("customer_id", "id")),
            CompositeKey("open_items_payment", ("payment_id",), "payments", ("id",)),
            CompositeKey("open_items_suspense", ("suspense_id",), "suspense_receipts", ("id",)),
            CompositeKey("open_items_dispute", ("customer_id", "dispute_id"), "disputes", ("customer_id", "id")),
            CompositeKey(
                "open_items_invoice_id", ("customer_id", "invoice_id"), "invoices", ("customer_id", "id"), deferred=True
            ),
            CompositeKey(
                "open_items_credit_note_id",
                ("customer_id", "credit_note_id"),
                "credit_notes",
                ("customer_id", "id"),
                deferred=True,
            ),
            CompositeKey(
                "open_items_entry", ("owner_id", "entry_id"), "ledger_entries", ("owner_id", "id"), deferred=True
            ),
            CompositeKey(
                "open_items_live_order",
                ("customer_id", "live_order_id", "live"),
                "orders",
                ("customer_id", "id", "committed"),
                deferred=True,
            ),
        )
        indexes = [
            index("open_items_customer", "customer_id", "id"),
            partial("open_items_order", "order_id IS NOT NULL", "customer_id", "order_id", "id"),
            partial("open_items_payment", "payment_id IS NOT NULL", "payment_id", "id"),
            partial("open_items_suspense", "suspense_id IS NOT NULL", "suspense_id"),
            partial("open_items_invoice", "invoice_id IS NOT NULL", "customer_id", "invoice_id", "id"),
            partial("open_items_credit_note", "credit_note_id IS NOT NULL", "customer_id", "credit_note_id", "id"),
            partial("open_items_dispute", "dispute_id IS NOT NULL", "customer_id", "dispute_id"),
            partial("open_items_open", "open > 0", "owner_id", "purpose", "currency", "due_on"),
            partial(
                "open_items_of_invoices", "open > 0 AND invoice_id IS NOT NULL", "due_on", "customer_id", "invoice_id"
            ),
        ]


class Posting(Model, metaclass=Undescribed):
    """An amount that moves from the account `credit` to the account `debit` of one owner, in one currency.

    Together with an entry's others it is its whole: `n` of `size`. An amount of 0 moves base currency only. What is repeated of
    the entry is the same there: `keep_books` compares it.
    """

    owner_id = fields.UUIDField()
    entry_id = fields.UUIDField(primary_key=True)
    n = fields.SmallIntField()
    size = fields.SmallIntField()
    phase = fields.CharField(max_length=10)
    effective_on = fields.DateField()
    base_currency = fields.CharField(max_length=3)
    debit = fields.CharField(max_length=24)
    credit = fields.CharField(max_length=24)
    currency = fields.CharField(max_length=3)
    amount = AmountField()
    base_amount = AmountField()
    debit_item_id: Any = fields.UUIDField(null=True)
    credit_item_id: Any = fields.UUIDField(null=True)
    debit_due_on: Any = fields.DateField(null=True)
    credit_due_on: Any = fields.DateField(null=True)

    class Meta:
        table = "postings"
        primary_key = ("owner_id", "entry_id", "n")
        constraints = [
            check("postings_n", "n BETWEEN 1 AND size"),
            check("postings_debit", one_of("debit", Purpose)),
            check("postings_credit", one_of("credit", Purpose)),
            check("postings_debit_item", f"({ITEMS.format('debit')}) = (debit_item_id IS NOT NULL)"),
            check("postings_credit_item", f"({ITEMS.format('credit')}) = (credit_item_id IS NOT NULL)"),
            check("postings_moves", "debit <> credit OR coalesce(debit_item_id <> credit_item_id, false)"),
            check("postings_amount", "base_amount >= 0 AND (amount > 0 OR (amount = 0 AND base_amount > 0))"),
            check("postings_amount_scale", "amount_fits(amount, currency)"),
            check("postings_base_amount_scale", "amount_fits(base_amount, base_currency)"),
        ]
        composite_keys = (
            CompositeKey("postings_entry", ("owner_id", "entry_id"), "ledger_entries", ("owner_id", "id")),
            CompositeKey(
                "postings_debit_open",
                ("owner_id", "debit_item_id", "debit", "currency"),
                "open_items",
                ("owner_id", "id", "purpose", "currency"),
            ),
            CompositeKey(
                "postings_credit_open",
                ("owner_id", "credit_item_id", "credit", "currency"),
                "open_items",
                ("owner_id", "id", "purpose", "currency"),
            ),
        )
        indexes = [
            partial("postings_debit_items", "debit_item_id IS NOT NULL", "debit_item_id", "entry_id"),
            partial("postings_credit_items", "credit_item_id IS NOT NULL", "credit_item_id", "entry_id"),
        ]


class LedgerHead(Model, metaclass=Undescribed):
    """The end of a lane: one of an owner's chains of hashes. A writer takes one that is free, so nobody waits for anybody."""

    owner_id = fields.UUIDField(primary_key=True)
    lane = fields.SmallIntField()
    seq = fields.BigIntField()
    hash: Any = fields.BinaryField()

    class Meta:
        table = "ledger_heads"
        primary_key = ("owner_id", "lane")


class LedgerLink(Model, metaclass=Undescribed):
    """An entry's place in its lane: `digest` is of its text, `hash` of the hash before it and the digest."""

    owner_id = fields.UUIDField(primary_key=True)
    lane = fields.SmallIntField()
    seq = fields.BigIntField()
    entry_id = fields.UUIDField()
    digest: Any = fields.BinaryField()
    hash: Any = fields.BinaryField()

    class Meta:
        table = "ledger_links"
        primary_key = ("owner_id", "lane", "seq")
        constraints = [unique("ledger_links_entry", "owner_id", "entry_id")]
        composite_keys = (
            CompositeKey("ledger_links_entry_fkey", ("owner_id", "entry_id"), "ledger_entries", ("owner_id", "id")),
        )


class AuditLink(Model, metaclass=Undescribed):
    """The place of a statement's audit rows in a lane: `digest` is of their text, in the order of their ids.

    The lanes are below zero: those from 0 on have entries. The owner is the customer, or the company for rows of several or of none.
    """

    owner_id = fields.UUIDField(primary_key=True)
    lane = fields.SmallIntField()
    seq = fields.BigIntField()
    ids: Any = UuidArrayField()
    digest: Any = fields.BinaryField()
    hash: Any = fields.BinaryField()

    class Meta:
        table = "audit_links"
        primary_key = ("owner_id", "lane", "seq")
        constraints = [check("audit_links_lane", "lane < 0")]


class Balance(Model, metaclass=Undescribed):
    """An account's sums, in parts: one for each lane that posted to it. `base` is debits minus credits in base currency."""

    owner_id = fields.UUIDField(primary_key=True)
    purpose = fields.CharField(max_length=24)
    currency = fields.CharField(max_length=3)
    lane = fields.SmallIntField()
    debit = AmountField()
    credit = AmountField()
    base = AmountField()
    pending_debit = AmountField()
    pending_credit = AmountField()

    class Meta:
        table = "balances"
        primary_key = ("owner_id", "purpose", "currency", "lane")


class Anchor(Model, metaclass=Undescribed):
    """A hash over all heads that moved since the anchor before, and over that one: whoever keeps it can't be fooled later."""

    id = fields.BigIntField(primary_key=True, generated=False)
    made_at = fields.DatetimeField(db_default=Now())
    previous: Any = fields.BinaryField()
    hash: Any = fields.BinaryField()
    heads = fields.BigIntField()

    class Meta:
        table = "anchors"
        constraints = [check("anchors_count", "id > 0 AND heads >= 0")]


class AnchorHead(Model, metaclass=Undescribed):
    """A head as an anchor saw it."""

    anchor_id = fields.BigIntField(primary_key=True, generated=False)
    owner_id = fields.UUIDField()
    lane = fields.SmallIntField()
    seq = fields.BigIntField()
    hash: Any = fields.BinaryField()

    class Meta:
        table = "anchor_heads"
        primary_key = ("anchor_id", "owner_id", "lane")
        composite_keys = (CompositeKey("anchor_heads_anchor_id_fkey", ("anchor_id",), "anchors", ("id",)),)
        indexes = [index("anchor_heads_lane", "owner_id", "lane", "anchor_id")]


class AccountCode(Editable):
    """What the accountant's system calls an account."""

    company: Any = fields.ForeignKeyField("crm.Company", related_name="account_codes", on_delete=fields.RESTRICT)
    purpose = fields.CharField(max_length=24)
    code = fields.CharField(max_length=20)
    name = fields.CharField(max_length=100)
    name_zh: Any = fields.CharField(max_length=100, null=True)

    class Meta:
        table = "account_codes"
        constraints = [
            origin_unique("account_codes"),
            unique("account_codes_purpose", "company_id", "purpose"),
            check("account_codes_purpose_known", one_of("purpose", Purpose)),
        ]
        indexes = [index("account_codes_created", "created_at", "id")]


class FxRate(Record):
    """Units of the base currency for one unit of the currency, from a day on, until a row of a later day.

    Rows are only added: a newer one for the same day replaces the one before. `source`: who says so, such as `MANUAL` or `ECB`.
    """

    currency = fields.CharField(max_length=3)
    base_currency = fields.CharField(max_length=3)
    effective_on = fields.DateField()
    rate = NumberField()
    source = fields.CharField(max_length=50)

    class Meta:
        table = "fx_rates"
        constraints = [
            check("fx_rates_pair", "currency <> base_currency"),
            check("fx_rates_rate", "rate > 0 AND rate < 1e12 AND scale(rate) <= 12"),
            *amounts("fx_rates"),
            *amounts("fx_rates", currency="base_currency"),
        ]
        indexes = [
            index("fx_rates_newest", "base_currency", "currency", "effective_on DESC", "id DESC"),
            index("fx_rates_effective", "effective_on", "id"),
        ]
