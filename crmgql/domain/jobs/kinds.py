"""The kinds of jobs: name, queue, arguments, limits. Their handlers are in `workers`.

Arguments are pydantic models, so that they are checked when a job is enqueued, and the API can show their schema. A kind
whose arguments change gets a new `version` and an `upgrade` from older ones; without one, jobs of older versions become dead
letters with `JOB_ARGUMENTS_OUTDATED`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from crmgql.errors import BadUserInput, CrmError

Upgrade = Callable[[dict[str, Any], int], dict[str, Any]]
"""(arguments, their version) → arguments of the kind's version."""


class KindUnknown(CrmError):
    """No job of this name is known here (any more)."""

    code = "JOB_KIND_UNKNOWN"
    final = True


class ArgumentsOutdated(CrmError):
    """The arguments are of a version that nothing here understands."""

    code = "JOB_ARGUMENTS_OUTDATED"
    final = True


class Arguments(BaseModel):
    """What a job takes; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True)
class Kind(Generic[A]):
    """`max_failures`: failed attempts after which it is a dead letter. `timeout_s`: how long one attempt may take.

    `manual`: whether an administrator may enqueue or schedule it through the API. `writes`: the types of records that it
    changes. Enqueuing it needs the right to change each of them: a key for jobs alone must not change everything.
    """

    name: str
    arguments: type[A]
    queue: str
    doc: str
    writes: tuple[str, ...]
    max_failures: int = 5
    timeout_s: int = 300
    priority: int = 0
    version: int = 1
    upgrade: Upgrade | None = None
    manual: bool = True

    def read(self, raw: dict[str, Any], version: int) -> A:
        """The arguments of a stored job. Raises `ArgumentsOutdated`, `BadUserInput`."""
        if version != self.version:
            if self.upgrade is None or version > self.version:
                raise ArgumentsOutdated(
                    f"The job's arguments are of version {version}, {self.name} takes version {self.version}; "
                    "drop it and enqueue a new one."
                )
            raw = self.upgrade(raw, version)
        return self.check(raw)

    def check(self, raw: dict[str, Any], *, field: str = "arguments") -> A:
        """Raises `BadUserInput` with the path of the first wrong argument."""
        try:
            text = orjson.dumps(raw)
        except TypeError:
            raise BadUserInput("Texts must be Unicode, and whole numbers fit into 64 bits.", field=field) from None
        try:
            return self.arguments.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            path = ".".join([field, *(str(part) for part in first["loc"])])
            raise BadUserInput(f"{first['msg']}.", field=path) from None


KINDS: dict[str, Kind[Any]] = {}
QUEUES = ("routing", "default", "email", "bulk")
"""Each worker has slots of its own for each queue, so that no kind starves another."""


def declare(kind: Kind[A]) -> Kind[A]:
    KINDS[kind.name] = kind
    return kind


def find(name: str) -> Kind[Any]:
    """Raises `KindUnknown`."""
    try:
        return KINDS[name]
    except KeyError:
        raise KindUnknown(f"There is no kind of job called {name!r}; jobKinds lists them.", field="kind") from None


def _plain(value: Any) -> Any:
    """An id as the API writes it, such as led_0190…, or without its prefix."""
    return value[4:] if isinstance(value, str) and value[3:4] == "_" else value


RecordId = Annotated[UUID, BeforeValidator(_plain)]


class Nothing(Arguments):
    """No arguments."""


class LeadOf(Arguments):
    lead_id: RecordId


class FollowUp(Arguments):
    """`since`: when the lead entered the status that the rule is about."""

    lead_id: RecordId
    rule_id: RecordId
    since: datetime


class EmailOf(Arguments):
    email_id: RecordId


class ChallengeOf(Arguments):
    """`public_key`: of the keys that the endpoint has; it gets others with another URL."""

    endpoint_id: RecordId
    public_key: str


class ExportOf(Arguments):
    export_id: RecordId


class ProviderEventOf(Arguments):
    provider_event_id: RecordId


class PingOf(Arguments):
    endpoint_id: RecordId


class LeadsOf(Arguments):
    """`source`: only leads of one import source."""

    source: str | None = None


class RouteMany(Arguments):
    """Routes leads without an owner, a queue or a pool. `source`: only those of one import source."""

    source: str | None = None
    batch_size: int = Field(1000, ge=1, le=5000)


LEAD_ROUTE = declare(
    Kind(
        "lead.route",
        LeadOf,
        "routing",
        "Routes a lead by the active rule set.",
        writes=("Lead",),
        max_failures=10,
        priority=10,
    )
)
LEADS_ROUTE = declare(
    Kind(
        "leads.route",
        RouteMany,
        "bulk",
        "Routes all leads without an owner, a queue or a pool, in batches.",
        writes=("Lead",),
        timeout_s=3600,
    )
)
LEADS_REROUTE = declare(
    Kind(
        "leads.reroute",
        Nothing,
        "routing",
        "Routes leads again that were not accepted in time or waited in a queue too long.",
        writes=("Lead",),
    )
)
LEAD_DUPLICATES = declare(
    Kind(
        "lead.duplicates",
        LeadOf,
        "default",
        "Looks for duplicates of a lead.",
        writes=("LeadDuplicate",),
    )
)
LEADS_DUPLICATES = declare(
    Kind(
        "leads.duplicates",
        LeadsOf,
        "bulk",
        "Looks for duplicates among all leads, as after an import.",
        writes=("LeadDuplicate",),
        timeout_s=3600,
    )
)
LEAD_FOLLOW_UP = declare(
    Kind(
        "lead.followUp",
        FollowUp,
        "default",
        "Makes the task or the e-mail of a follow-up rule.",
        writes=("Task", "EmailMessage"),
        manual=False,
    )
)
EMAIL_SEND = declare(
    Kind(
        "email.send",
        EmailOf,
        "email",
        "Sends an e-mail through SMTP.",
        writes=("EmailMessage",),
        max_failures=8,
        timeout_s=60,
        manual=False,
    )
)
NOTIFICATIONS_DIGEST = declare(
    Kind(
        "notifications.digest",
        Nothing,
        "email",
        "E-mails each person their unread notifications, in one message.",
        writes=("EmailMessage",),
    )
)
WEBHOOK_CHALLENGE = declare(
    Kind(
        "webhook.challenge",
        ChallengeOf,
        "default",
        "Asks a webhook endpoint whether it wants our events.",
        writes=("WebhookEndpoint",),
        timeout_s=90,
        manual=False,
    )
)
WEBHOOK_PING = declare(
    Kind(
        "webhook.ping",
        PingOf,
        "default",
        "Sends a ping to a webhook endpoint.",
        writes=("WebhookEndpoint",),
        timeout_s=90,
        manual=False,
    )
)
OPPORTUNITIES_STALE = declare(
    Kind(
        "opportunities.stale",
        Nothing,
        "default",
        "Alerts about opportunities without activity for too long.",
        writes=("Opportunity",),
        timeout_s=3600,
    )
)
OPPORTUNITIES_SCORE = declare(
    Kind(
        "opportunities.score",
        Nothing,
        "bulk",
        "Computes the scores of all open opportunities by the current rules.",
        writes=("Opportunity",),
        timeout_s=3600,
    )
)
POOLS_RECLAIM = declare(
    Kind(
        "pools.reclaim",
        Nothing,
        "default",
        "Warns about, and later reclaims, leads and customers that nobody followed up.",
        writes=("Lead", "Customer", "PoolItem"),
        timeout_s=3600,
    )
)
EXPORT_WRITE = declare(
    Kind(
        "export.write",
        ExportOf,
        "bulk",
        "Writes the lines of an export.",
        writes=("Export",),
        max_failures=3,
        timeout_s=4 * 3600,
        manual=False,
    )
)
RECEIVABLES_DUE = declare(
    Kind(
        "receivables.due",
        Nothing,
        "default",
        "Counts what has become overdue since the day before, so that customers are found by it.",
        writes=("Customer",),
        timeout_s=1800,
    )
)
CUSTOMERS_HAND_OVER = declare(
    Kind(
        "customers.handOver",
        Nothing,
        "default",
        "Has what merged customers owe and have since then go on to the customers that they live on in.",
        writes=("Payment",),
        timeout_s=600,
    )
)
LEDGER_ANCHOR = declare(
    Kind(
        "ledger.anchor",
        Nothing,
        "default",
        "Writes an anchor over the chains of the books that moved since the last one.",
        writes=("Job",),
        timeout_s=600,
    )
)
PROVIDER_EVENT_FOLLOW = declare(
    Kind(
        "providerEvent.follow",
        ProviderEventOf,
        "default",
        "Books what a payment provider says of a payment.",
        writes=("Payment",),
        max_failures=8,
        manual=False,
    )
)
PROVIDER_EVENTS_RETRY = declare(
    Kind(
        "providerEvents.retry",
        Nothing,
        "default",
        "Tries again what payment providers say and is waiting, and tells who is responsible of what has waited for a day.",
        writes=("Payment",),
    )
)
BANK_LINES_MATCH = declare(
    Kind(
        "bankLines.match",
        Nothing,
        "default",
        "Matches lines of bank statements that are open with what is owed: books what is certain, suggests the rest.",
        writes=("BankLine", "Payment"),
        timeout_s=3600,
    )
)
REVENUE_RECOGNISE = declare(
    Kind(
        "revenue.recognise",
        Nothing,
        "default",
        "Posts deferred revenue that has fallen due by the company's day.",
        writes=("Order",),
        timeout_s=3600,
    )
)
INVOICES_REMIND = declare(
    Kind(
        "invoices.remind",
        Nothing,
        "default",
        "Notes which invoices have become overdue, and sends the reminders that are due.",
        writes=("Invoice", "EmailMessage"),
        timeout_s=3600,
    )
)
CONTRACTS_REMIND = declare(
    Kind(
        "contracts.remind",
        Nothing,
        "default",
        "Tells who sees to a payment of a contract's plan that it will be due, and that it is overdue.",
        writes=("Contract",),
        timeout_s=3600,
    )
)
MONEY_RECONCILE = declare(
    Kind(
        "money.reconcile",
        Nothing,
        "bulk",
        "Holds orders, the books, payments and payouts against each other, and tells of what differs, is overdue or unusual.",
        writes=("ReconciliationException",),
        timeout_s=4 * 3600,
    )
)
HOUSEKEEPING = declare(
    Kind(
        "housekeeping",
        Nothing,
        "default",
        "Deletes ended sessions, old counters and keys, finished jobs and old months of events.",
        writes=("Job",),
        timeout_s=1800,
    )
)
