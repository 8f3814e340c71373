"""One base error; every rejection is a subclass with a code and, where it helps, the input field it is about."""

from __future__ import annotations

from typing import ClassVar


class CrmError(Exception):
    """A rejection that a client may read: `code` for programs, the message for people.

    `field` is the path inside the input, such as `lines.0.quantity`.
    """

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    final: ClassVar[bool] = False
    """Whether a job that fails with it need not be tried again."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Unauthenticated(CrmError):
    code = "UNAUTHENTICATED"


class Forbidden(CrmError):
    code = "FORBIDDEN"
    final = True


class BadUserInput(CrmError):
    code = "BAD_USER_INPUT"
    final = True


class NotFound(CrmError):
    code = "NOT_FOUND"
    final = True


class Conflict(CrmError):
    code = "CONFLICT"


class VersionConflict(Conflict):
    code = "VERSION_CONFLICT"


class IdempotencyConflict(Conflict):
    code = "IDEMPOTENCY_CONFLICT"


class IllegalTransition(CrmError):
    code = "ILLEGAL_TRANSITION"
    final = True


class PeriodClosed(CrmError):
    """The day lies in a period of the books that takes no entries."""

    code = "PERIOD_CLOSED"
    final = True


class PeriodOpen(CrmError):
    """Days of the books are more open than what follows from them allows."""

    code = "PERIOD_OPEN"
    final = True


class PeriodsOverlap(Conflict):
    code = "PERIODS_OVERLAP"
    final = True


class ReversedAlready(CrmError):
    code = "REVERSED_ALREADY"
    final = True


class ResolvedAlready(CrmError):
    """What was pending was posted or voided before."""

    code = "RESOLVED_ALREADY"
    final = True


class RateMissing(CrmError):
    """There is no exchange rate on or before the day on which something is posted."""

    code = "RATE_MISSING"
    final = True


class CurrencyMismatch(CrmError):
    code = "CURRENCY_MISMATCH"


class AllocationExceedsOpen(CrmError):
    """More would be allocated than is still owed for the order."""

    code = "ALLOCATION_EXCEEDS_OPEN"
    final = True


class AllocationExceedsPayment(CrmError):
    """More would be allocated than is left of the payment."""

    code = "ALLOCATION_EXCEEDS_PAYMENT"
    final = True


class InvoiceExceedsOrder(CrmError):
    """More would be invoiced than the order has left."""

    code = "INVOICE_EXCEEDS_ORDER"
    final = True


class CreditExceedsInvoiced(CrmError):
    """More would be credited than is left of the invoice."""

    code = "CREDIT_EXCEEDS_INVOICED"
    final = True


class SplitNotWhole(CrmError):
    """The shares of an order's owners would not sum to 100 per cent."""

    code = "SPLIT_NOT_WHOLE"
    final = True


class CreditLimit(Conflict):
    """An order would lead past the customer's credit limit, and the customer's policy is to refuse that."""

    code = "CREDIT_LIMIT"


class CustomerMerged(CrmError):
    """The customer was merged into another one; the message names that one."""

    code = "CUSTOMER_MERGED"
    final = True


class OrderBelowSettled(CrmError):
    """An order would become less than what of it is invoiced, credited or written off."""

    code = "ORDER_BELOW_SETTLED"
    final = True


class RefundExceedsReceived(CrmError):
    """More would be refunded than was received and not refunded yet, refunds that are under way included."""

    code = "REFUND_EXCEEDS_RECEIVED"
    final = True


class DisputeExceedsPayment(CrmError):
    """More of the payment would be disputed, or was lost, than it has."""

    code = "DISPUTE_EXCEEDS_PAYMENT"
    final = True


class WriteOffExceedsOpen(CrmError):
    """More would be written off than is still owed for the order."""

    code = "WRITE_OFF_EXCEEDS_OPEN"
    final = True


class PlanApproved(CrmError):
    """A version of a plan would change after it was approved."""

    code = "PLAN_APPROVED"
    final = True


class TiersNotContiguous(CrmError):
    """Tiers don't begin at 0, leave a gap, overlap, or end."""

    code = "TIERS_NOT_CONTIGUOUS"
    final = True


class MakerIsChecker(CrmError):
    """Somebody would approve what they wrote."""

    code = "MAKER_IS_CHECKER"
    final = True


class VersionsOverlap(Conflict):
    """Two versions of a plan would have a day in common."""

    code = "VERSIONS_OVERLAP"
    final = True


class AssignmentsOverlap(Conflict):
    """Somebody would be paid by two plans on one day."""

    code = "ASSIGNMENTS_OVERLAP"
    final = True


class QuotasOverlap(Conflict):
    """A person or a team would have two quotas for the same on one day."""

    code = "QUOTAS_OVERLAP"
    final = True


class SignedAlready(Conflict):
    code = "SIGNED_ALREADY"
    final = True


class Throttled(CrmError):
    code = "THROTTLED"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MaxCostExceeded(CrmError):
    code = "MAX_COST_EXCEEDED"


class QueryTooComplex(CrmError):
    """The document passes a cap on depth, aliases, directives or tokens."""

    code = "QUERY_TOO_COMPLEX"


class ReadOnly(CrmError):
    """A change was asked for in a way that only reads."""

    code = "METHOD_NOT_ALLOWED"


class StreamNeeded(CrmError):
    """A subscription came in a way that has one answer only."""

    code = "STREAM_NEEDED"


class StreamEnded(CrmError):
    """An event stream that is to go on with another token runs no more."""

    code = "STREAM_ENDED"


class OperationNotFound(CrmError):
    code = "OPERATION_RESOLUTION_FAILURE"


class Unavailable(CrmError):
    """A server behind us does not answer."""

    code = "SERVICE_UNAVAILABLE"


class DatabaseTrouble(Unavailable):
    """Our own database does not answer, or has no connection to spare: no fault of whoever asked, job or client."""


class DiskFull(DatabaseTrouble):
    """The database's disk has no room left."""


class TimedOut(CrmError):
    """The database stopped a statement that took too long."""

    code = "TIMEOUT"


DATABASES_OWN = (DatabaseTrouble, TimedOut)
"""What our own database could not do: no job's failure."""


class SetupError(CrmError):
    """Something an operator must mend before the process can start; printed as one line."""

    code = "SETUP"


class DatabaseAway(SetupError):
    """No connection at the start: the server is down, starting, or can't be reached."""


class DeclarationError(SetupError):
    """A type is declared wrongly: names the type, the field and the fix."""

    code = "DECLARATION"
