"""Our accounts at banks, and what their statements say."""

from crmgql.events.declarations import SOMETIMES, Changed, Kind, Money, Payload, record_id


class BankStatementImported(Payload):
    """How many lines it has, and how many of them another statement had brought already."""

    line_count: int
    known_count: int


class BankLineMoved(Changed):
    """The line's amount, negative where money went out."""

    amount: Money


class BankLineBooked(BankLineMoved):
    """What it is now: a payment, a refund, or a provider's payout."""

    payment_id: record_id("Payment") | None = None  # type: ignore[valid-type]
    refund_id: record_id("Refund") | None = None  # type: ignore[valid-type]
    payout_id: record_id("Payout") | None = None  # type: ignore[valid-type]


class BankLineSuspended(BankLineMoved):
    """The receipt that it is in suspense."""

    suspense_id: record_id("SuspenseReceipt")  # type: ignore[valid-type]


class BankLineReleased(BankLineMoved):
    """The payout that it is no more."""

    payout_id: record_id("Payout")  # type: ignore[valid-type]


KINDS = (
    Kind("bankAccount.created", "BankAccount", "An account of ours at a bank was set up."),
    Kind("bankAccount.updated", "BankAccount", "An account of ours at a bank changed."),
    Kind("bankStatement.imported", "BankStatement", "A bank's statement was imported.", BankStatementImported),
    Kind(
        "bankLine.booked",
        "BankLine",
        "A line of a bank's statement became a payment, or was found to be one, a refund or a payout.",
        BankLineBooked,
        SOMETIMES,
    ),
    Kind(
        "bankLine.suspended",
        "BankLine",
        "Nobody knows whose money of a bank's line is, so it waits in suspense.",
        BankLineSuspended,
    ),
    Kind(
        "bankLine.released",
        "BankLine",
        "Somebody said that a bank's line is not the payout that it was booked as.",
        BankLineReleased,
    ),
    Kind("bankLine.ignored", "BankLine", "Somebody said that a bank's line is no matter of customers.", BankLineMoved),
)
