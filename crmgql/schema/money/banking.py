"""Our accounts at banks, their statements and lines, and the mutations of these."""

from __future__ import annotations

from uuid import UUID

import strawberry

from crmgql import models
from crmgql.domain.money.banking import accounts, lines, statements
from crmgql.engine import inputs, mutations
from crmgql.engine.declare import column, many, money, node, one
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Done, Row, mutation
from crmgql.records.records import Act


@node(models.BankAccount, order="name")
class BankAccount:
    """An account of ours at a bank, in one currency."""

    name = column(sort=True)
    number = column(doc="Its IBAN or other number, without spaces.")
    currency = column()
    layout = column(doc="How the bank writes CSV files; null: its files are camt.053.")
    statements = many("BankStatement", "account")
    lines = many("BankLine", "account", order="-bookedOn")


@node(models.BankStatement, order="-id")
class BankStatement:
    """What one file said of an account. Opening balance and lines make the closing balance, wherever the file told both."""

    account = one()
    format = column(enum=models.BankFileFormat)
    reference = column(doc="The bank's own id of it.")
    opening = money("opening_amount", doc="The balance before its lines.")
    opening_on = column()
    moved = money("moved_amount", doc="The sum of its lines.")
    closing = money("closing_amount", doc="The balance after its lines.")
    closing_on = column()
    first_on = column(doc="The first day on which a line of it was booked.")
    last_on = column(sort=True, doc="The last day on which a line of it was booked.")
    line_count = column(doc="All its lines.")
    known_count = column(doc="Those that another statement had brought already; they are lines of that.")
    skipped_count = column(doc="What moved no money: announced, or of zero.")
    lines = many("BankLine", "statement")


@node(models.BankLine, order="-bookedOn")
class BankLine:
    """One movement on an account: what the bank said, and what became of it."""

    account = one()
    statement = one("The statement that brought it first.")
    booked_on = column(sort=True)
    value_on = column()
    amount = money("amount", sort=True, doc="Negative where money went out.")
    name = column(doc="Who paid, or got it.")
    counterparty = column(doc="The account of who paid, or got it.")
    texts = column(filter=False, doc="What came with it: references, and what the payer wrote.")
    end_to_end_id = column(doc="The payer's id of the transfer.")
    bank_id = column(doc="The bank's own id.")
    kind = column(doc="The bank's own word for what it is.")
    is_reversal = column(doc="Whether the bank takes another one back.")
    place = column(filter=False, doc="Where it stood in the file.")
    status = column(enum=models.BankLineStatus)
    status_reason = column(filter=False, doc="Why it is ignored.")
    settled_at = column(doc="When it was booked or ignored.")
    customer = one("Whose money it is.")
    payment = one("The payment that it is.")
    refund = one("The refund that it is.")
    payout = one("The provider's payout that it brought, or took back.")
    suspense = one("The receipt that it is while nobody knows whose it is.")
    suggestions = many("BankSuggestion", "line", order="n")


@node(models.BankSuggestion, order="n")
class BankSuggestion:
    """What an open line may be: a payment, refund or payout that is there, or what of a customer's it would settle."""

    line = one()
    n = column(sort=True, doc="1 is the likeliest.")
    certainty = column(enum=models.MatchCertainty, doc="CERTAIN ones are booked by themselves.")
    basis = column(enum=models.MatchBasis)
    reasons = column(filter=False, doc="Why, in words.")
    labels = column(filter=False, doc="The numbers of what it settles, in this order.")
    amount = money("amount", doc="What of the line settles something.")
    rest = money("rest_amount", doc="What of the line would be left over.")
    short = money("short_amount", doc="What of it would stay open.")
    customer = one()
    order = one("The order, if it is one.")
    invoice = one("The invoice, if it is one.")
    payment = one("The payment that is recorded already.")
    refund = one("The refund that went out.")
    payout = one("The payout that came in.")


@input
class BankStatementImportInput:
    """`content`: the bytes of the file as the bank sent it, in base64. Larger ones are taken by `crmgql bank import`."""

    bank_account_id: strawberry.ID
    content: str


@input
class BankLineAcceptInput:
    """One of: a suggestion of the line, the order or invoice that it pays, the customer who pays ahead, the payment, refund or payout
    that is recorded already."""

    id: strawberry.ID
    suggestion_id: strawberry.ID | None = UNSET
    order_id: strawberry.ID | None = UNSET
    invoice_id: strawberry.ID | None = UNSET
    customer_id: strawberry.ID | None = UNSET
    payment_id: strawberry.ID | None = UNSET
    refund_id: strawberry.ID | None = UNSET
    payout_id: strawberry.ID | None = UNSET
    expected_version: int | None = UNSET


@input
class BankLineReleaseInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


@input
class BankLineIgnoreInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


mutations.table(
    "BankAccount",
    Row(
        "bankAccountCreate",
        "Sets up an account of ours at a bank, whose statements can then be imported.",
        accounts.create,
        input=inputs.create("number currency", accounts.FACTS),
    ),
    Row(
        "bankAccountUpdate",
        "Changes what the input names.",
        accounts.update,
        input=inputs.update(accounts.FACTS),
    ),
)


@mutation("BankStatement", BankStatementImportInput, extras={"lineCount": int, "newLineCount": int})
async def bank_statement_import(act: Act, *, bank_account_id: UUID, content: str) -> Done:
    """Takes a camt.053 or CSV file, whole or not at all, and answers its first statement; a job then matches the new lines."""
    made = await statements.import_file(act, bank_account_id=bank_account_id, content=statements.content_of(content))
    first = made.statement_ids[0] if made.statement_ids else None
    return Done(first, {"lineCount": made.lines, "newLineCount": made.new_lines})


mutations.table(
    "BankLine",
    Row(
        "bankLineAccept",
        "Books an open line as what the input names: it becomes a payment, or stands for one, a refund or a payout that is there.",
        lines.accept,
        input=BankLineAcceptInput,
        asks=("payment.write",),
    ),
    Row(
        "bankLineToSuspense",
        "Records money of an open line of which nobody knows whose it is; `suspenseAssign` makes it a payment later.",
        lines.to_suspense,
        asks=("payment.write",),
    ),
    Row(
        "bankLineRelease",
        "Takes back that a line is a payout, which is expected again; the line is ignored until it is booked otherwise.",
        lines.release,
        input=BankLineReleaseInput,
        asks=("reconciliation.write",),
    ),
    Row(
        "bankLineIgnore",
        "Says that an open line is no matter of customers, such as the bank's fee.",
        lines.ignore,
        input=BankLineIgnoreInput,
    ),
)
