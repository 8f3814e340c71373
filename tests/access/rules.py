"""Who sees what, said again in the domain's words and in plain Python, knowing nothing of `crmgql.access`.

- A seller sees the customers they own, a manager those of the whole team tree below; finance, administrators,
  support, marketing and integrations see every customer. What hangs on a customer is seen with the customer.
- Marketing learns nothing of contracts and their plans, orders, lines, payments, their allocations, refunds, disputes and write-offs,
  invoices, their reminders and credit notes; who is a marketer and something else sees these as the other.
- Levels of dunning are for everybody who has a role but marketers.
- Money of which nobody knows whose it is, is for administrators, finance and integrations.
- Our accounts at banks, their statements and lines are for administrators and finance.
- A commission, and why somebody gets none, is seen by its seller, the managers above, finance and administrators; by nobody else.
- A plan by which people are paid, and what was approved of it, is seen by those whom it pays or paid, the managers above them, finance and
  administrators; its drafts by these two alone. An assignment that was taken back shows nobody the plan. Whom it pays and who signed
  it: each person's own is seen by that person, the managers above, finance and administrators.
- A quota is seen by the person, that of a team by the team's manager; by the managers above, finance and administrators. Integrations see neither
  plans nor quotas.
- A deal is seen by its owner, the managers above the owner, and whoever sees its customer; who sees all customers (and
  finance) sees all deals, with a customer or without.
- What people are paid besides commissions is for oneself and payroll, for nobody else. Payroll sees no customers, and nothing that hangs on them;
  it reads the audit trail, but not of products and campaigns.
- Costs and margins are for finance, administrators and managers.
- Entries of the books and what accounts are called are for finance and administrators; so are payouts and what reconciliation finds.
- Erasures are for administrators.
- Events are for administrators and integrations, the audit trail for administrators and finance: as far as they see
  what happened there, each column of it in the trail's case, and with a key only of the nouns that it was made for. API keys are for administrators. Users, teams and products are for everybody who has a role at all.
- The company, exchange rates, pipelines, stages, key actions, calendars, score rules and campaigns are for everybody who has a role; what a campaign
  costs, and the revenue it brought, is for administrators, finance, managers and marketing. Figures of a campaign count
  the leads and deals that one sees; finance counts all leads without seeing any. What a lead cost is not told to
  managers, who see only some of the leads.
- What was done and what happened in a deal - actions, moves, alerts - is seen with the deal.
- A lead is seen by its owner and the managers above, and while it waits in a queue by the queue's owner and the managers
  above; administrators, marketing and integrations see all. Nobody else does: not finance, not support, and not the
  sellers who may claim it from the pool. Its history, its decisions and the mails it was sent are seen with it.
- Who was looked at for a lead, and why not, tells of colleagues: for those who may see the routing rules.
- Two leads that look like one: for those who see both.
- Routing rules and queues are for administrators, managers and marketing; a seller sees the queue they own.
- What routing knows of a seller, and when they are away, is for that seller, the managers above, administrators and
  marketing.
- Pools are for administrators, marketing, managers and sellers. These see what is in them now; what has left, only
  marketing, administrators, and who claimed it with the managers above. Being in a pool shows nobody the record itself.
  What happened on the way is seen by who did it, the managers above, administrators and marketing.
- A task is seen by who is to do it, the managers above, administrators and integrations, whatever it is about.
- A notification is one's own and nobody else's, not even an administrator's; so is a mail to one of us that is not
  about a lead. Mails about an invoice are seen by who sees the invoice, mails to nobody we know by administrators and marketing.
- A job is seen by who asked for it and by administrators; schedules are for administrators.
- A subscription to events is for its owner and for administrators, and so is an export.
- A webhook endpoint and its log are seen by administrators, and by integrations whose own it is.
- Sources and their keys are for administrators and marketing, rules of following up also for managers.
- An API key sees what its user sees, and of that only the nouns it was made for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

Row = dict[str, Any]

TABLE_OF = {
    "User": "users",
    "Team": "teams",
    "ApiKey": "api_keys",
    "Product": "products",
    "Customer": "customers",
    "Contact": "contacts",
    "Opportunity": "opportunities",
    "Order": "orders",
    "Contract": "contracts",
    "ContractPayment": "contract_payments",
    "OrderLine": "order_lines",
    "Payment": "payments",
    "Commission": "commissions",
    "CommissionProblem": "commission_problems",
    "CommissionSplit": "commission_splits",
    "Interaction": "interactions",
    "Ticket": "tickets",
    "Erasure": "erasures",
    "Event": "events",
    "AuditEntry": "audit_entries",
    "BusinessCalendar": "business_calendars",
    "Pipeline": "pipelines",
    "Stage": "stages",
    "KeyAction": "key_actions",
    "OpportunityAction": "opportunity_actions",
    "StageTransition": "stage_transitions",
    "ScoreRule": "score_rules",
    "StaleAlert": "stale_alerts",
    "Schedule": "schedules",
    "Job": "jobs",
    "Notification": "notifications",
    "Task": "tasks",
    "EmailMessage": "email_messages",
    "Campaign": "campaigns",
    "IntakeSource": "intake_sources",
    "FollowUpRule": "follow_up_rules",
    "Lead": "leads",
    "LeadTransition": "lead_transitions",
    "LeadDuplicate": "lead_duplicates",
    "AssignmentDecision": "assignment_decisions",
    "RoutingRuleset": "routing_rulesets",
    "RoutingRule": "routing_rules",
    "LeadQueue": "lead_queues",
    "SellerProfile": "seller_profiles",
    "Absence": "absences",
    "Pool": "pools",
    "PoolItem": "pool_items",
    "PoolMove": "pool_moves",
    "Company": "companies",
    "EventSubscription": "event_subscriptions",
    "WebhookEndpoint": "webhook_endpoints",
    "WebhookDelivery": "webhook_deliveries",
    "WebhookAttempt": "webhook_attempts",
    "Export": "exports",
    "FxRate": "fx_rates",
    "Allocation": "allocations",
    "WriteOff": "write_offs",
    "SuspenseReceipt": "suspense_receipts",
    "Refund": "refunds",
    "Dispute": "disputes",
    "AccountingPeriod": "accounting_periods",
    "Invoice": "invoices",
    "InvoiceLine": "invoice_lines",
    "Instalment": "instalments",
    "CreditNote": "credit_notes",
    "CreditNoteLine": "credit_note_lines",
    "Reminder": "reminders",
    "DunningLevel": "dunning_levels",
    "PaymentAccount": "payment_accounts",
    "ProviderEvent": "provider_events",
    "LedgerEntry": "ledger_entries",
    "AccountCode": "account_codes",
    "Payout": "payouts",
    "ReconciliationRun": "reconciliation_runs",
    "ReconciliationException": "reconciliation_exceptions",
    "BankAccount": "bank_accounts",
    "BankStatement": "bank_statements",
    "BankLine": "bank_lines",
    "BankSuggestion": "bank_suggestions",
    "CompPlan": "comp_plans",
    "CompPlanVersion": "comp_plan_versions",
    "CompRule": "comp_rules",
    "CompTier": "comp_tiers",
    "CompAssignment": "comp_assignments",
    "CompSignature": "comp_signatures",
    "Quota": "quotas",
    "Salary": "salaries",
    "PayEntry": "pay_entries",
}
BANK = ("BankAccount", "BankStatement", "BankLine", "BankSuggestion")
SCOPES: dict[str, tuple[str, ...]] = {
    "payroll": ("Salary", "PayEntry"),
    "plans": ("CompPlan", "CompPlanVersion", "CompRule", "CompTier", "CompAssignment", "CompSignature"),
    "settings": ("Company",),
    "rates": ("FxRate",),
    "payments": ("Allocation", "WriteOff", "SuspenseReceipt", "Refund", "Dispute"),
    "periods": ("AccountingPeriod",),
    "invoices": ("InvoiceLine", "Instalment", "CreditNote", "CreditNoteLine", "Reminder", "DunningLevel"),
    "providers": ("PaymentAccount", "ProviderEvent"),
    "reconciliation": ("Payout", "ReconciliationRun", "ReconciliationException"),
    "ledger": ("LedgerEntry", "AccountCode"),
    "bank": BANK,
    "orders": ("OrderLine", "CommissionSplit"),
    "contracts": ("ContractPayment",),
    "commissions": ("CommissionProblem",),
    "audit": ("AuditEntry",),
    "apikeys": ("ApiKey",),
    "pipelines": ("Stage", "KeyAction", "BusinessCalendar", "ScoreRule"),
    "opportunities": ("OpportunityAction", "StageTransition", "StaleAlert"),
    "jobs": ("Schedule",),
    "emails": ("EmailMessage",),
    "marketing": ("Campaign", "IntakeSource", "FollowUpRule"),
    "leads": ("LeadTransition", "LeadDuplicate", "AssignmentDecision"),
    "routing": ("RoutingRuleset", "RoutingRule", "LeadQueue", "SellerProfile", "Absence"),
    "pools": ("PoolItem", "PoolMove"),
    "subscriptions": ("EventSubscription",),
    "webhooks": ("WebhookEndpoint", "WebhookDelivery", "WebhookAttempt"),
}
SCOPE_OF = TABLE_OF | {kind: scope for scope, kinds in SCOPES.items() for kind in kinds}
OPEN_TO_ALL = {
    *("User", "Team", "Product", "Campaign"),
    *("Pipeline", "Stage", "KeyAction", "BusinessCalendar", "ScoreRule", "Company", "FxRate", "AccountingPeriod"),
}
SEEN_AS_PAYMENTS = (
    "Allocation",
    "WriteOff",
    "Refund",
    "Dispute",
    "Invoice",
    "InvoiceLine",
    "Instalment",
    "CreditNote",
    "CreditNoteLine",
    "Reminder",
)
NO_TRADE = {"MARKETER", "PAYROLL"}
SEE_ALL_LEADS = {"ADMIN", "MARKETER", "INTEGRATION"}
SEE_ROUTING = {"ADMIN", "MANAGER", "MARKETER"}
SEE_ALL_CUSTOMERS = {"ADMIN", "FINANCE", "SUPPORT", "MARKETER", "INTEGRATION"}
COUNT_LEADS = SEE_ALL_LEADS | {"SELLER", "MANAGER", "FINANCE"}
COUNT_ALL_LEADS_AND_SEE_COSTS = {"ADMIN", "FINANCE", "MARKETER"}
FIGURES = {
    **dict.fromkeys(("leadCount", "qualifiedCount", "convertedCount", "conversionRate"), (COUNT_LEADS, ("Lead",))),
    "wonCount": (COUNT_LEADS, ("Lead", "Opportunity")),
    "wonRevenue": ({"ADMIN", "FINANCE", "MANAGER", "MARKETER"}, ("Lead", "Opportunity")),
    "costPerLead": (COUNT_ALL_LEADS_AND_SEE_COSTS, ("Lead",)),
    "returnOnSpend": (COUNT_ALL_LEADS_AND_SEE_COSTS, ("Lead", "Opportunity")),
}
"""What a campaign came to: the roles that are told, and what an API key must be for."""
HIDDEN_COLUMNS = {
    "User": ("formerSalary",),
    "Product": ("cost",),
    "OrderLine": ("unitCost",),
    "Customer": ("dunningStopReason",),
    "Campaign": ("budget", "spend"),
    "AssignmentDecision": ("candidates",),
}
"""What is a column of a type, or was once, and not for everybody who sees its rows."""
COSTS = {("Product", "cost"), ("Product", "margin"), ("OrderLine", "unitCost"), ("Order", "cost"), ("Order", "margin")}


KEPT = {
    *(
        ("Customer", name)
        for name in ("lifetimeValue", "outstanding", "overdue", "oldestDueOn", "creditBalance", "unearned")
    ),
    *(("ContractPayment", name) for name in ("received", "outstanding", "overdue")),
}
"""What is filtered and ordered by as it is kept besides; by who sees it of each record that they see."""


@dataclass
class Sight:
    """What one viewer sees of the company's rows."""

    rows: dict[str, list[Row]]
    user_id: UUID
    roles: frozenset[str]
    scopes: frozenset[str] | None

    def in_scope(self, kind: str) -> bool:
        return self.scopes is None or bool({f"{SCOPE_OF[kind]}:read", "*:read"} & self.scopes)

    @cached_property
    def people(self) -> set[UUID]:
        """Those whose records are one's own to see: oneself, and for a manager everybody below."""
        found = {self.user_id} if self.roles & {"SELLER", "MANAGER"} else set()
        if "MANAGER" not in self.roles:
            return found
        teams = {team["id"] for team in self.rows["teams"] if team["manager_id"] == self.user_id}
        while more := {t["id"] for t in self.rows["teams"] if t["parent_id"] in teams} - teams:
            teams |= more
        found |= {user["id"] for user in self.rows["users"] if user["team_id"] in teams}
        return found | {t["manager_id"] for t in self.rows["teams"] if t["id"] in teams and t["manager_id"]}

    @cached_property
    def _customers(self) -> dict[UUID, Row]:
        return {row["id"]: row for row in self.rows["customers"]}

    def _customer(self, row: Row, roles: frozenset[str]) -> bool:
        if roles & SEE_ALL_CUSTOMERS:
            return True
        return bool(roles & {"SELLER", "MANAGER"}) and row["owner_id"] in self.people

    def _customer_of(self, row: Row, roles: frozenset[str]) -> bool:
        if row["customer_id"] is None:
            return False
        return self._customer(self._customers[row["customer_id"]], roles)

    def sees(self, kind: str, row: Row) -> bool:
        """Whether a row of a type is visible."""
        if not self.roles or not self.in_scope(kind):
            return False
        return kind in OPEN_TO_ALL or self._rules[kind](row)

    def _below(self, person: UUID | None) -> bool:
        """Oneself, for a seller; for a manager also those below."""
        return person in self.people

    def _subject(self, row: Row) -> bool:
        """Whether one sees what an event or an audit entry is about; imports are about nothing that is hidden."""
        kind = row["subject_type"]
        if kind == "import":
            return True
        return any(self.sees(kind, each) for each in self.rows[TABLE_OF[kind]] if each["id"] == row["subject_id"])

    def _whole(self, row: Row) -> bool:
        """Whether one may read each column of what an audit entry is about: it says what any of them held."""
        kind = row["subject_type"]
        return all(self.may_filter(kind, field) for field in HIDDEN_COLUMNS.get(kind, ()))

    def _by_id(self, table: str, id: UUID | None) -> Row | None:
        return self._all[table].get(id)

    @cached_property
    def _all(self) -> dict[str, dict[Any, Row]]:
        tables = (
            "opportunities",
            "leads",
            "lead_queues",
            "webhook_endpoints",
            "comp_plan_versions",
            "comp_rules",
            "teams",
        )
        return {table: {row["id"]: row for row in self.rows[table]} for table in tables}

    def _lead(self, row: Row | None) -> bool:
        if row is None:
            return False
        waits_for = self._by_id("lead_queues", row["queue_id"])
        mine = self._below(row["owner_id"]) or (waits_for is not None and self._below(waits_for["owner_id"]))
        return bool(self.roles & SEE_ALL_LEADS) or mine

    def _lead_of(self, row: Row, column: str = "lead_id") -> bool:
        return self._lead(self._by_id("leads", row[column]))

    def _endpoint(self, row: Row | None) -> bool:
        own = row is not None and row["owner_id"] == self.user_id
        return "ADMIN" in self.roles or bool(own and "INTEGRATION" in self.roles)

    def _deal(self, row: Row | None) -> bool:
        if row is None:
            return False
        everything = bool(self.roles & SEE_ALL_CUSTOMERS)
        return everything or self._below(row["owner_id"]) or self._customer_of(row, self.roles)

    def _mail(self, row: Row) -> bool:
        if row["lead_id"] is not None and self._lead_of(row):
            return True
        if row["customer_id"] is not None:
            return self._customer_of(row, self.roles - NO_TRADE)
        if row["user_id"] is not None:
            return bool(row["user_id"] == self.user_id)
        return row["lead_id"] is None and bool(self.roles & {"ADMIN", "MARKETER"})

    def _paid(self, person: UUID | None) -> bool:
        """Oneself, whom a plan may pay, or somebody below."""
        own = person is not None and person == self.user_id and self.roles & {"SUPPORT", "MARKETER", "PAYROLL"}
        return bool(self.roles & {"ADMIN", "FINANCE"}) or self._below(person) or bool(own)

    def _pay(self, person: UUID) -> bool:
        return "PAYROLL" in self.roles or person == self.user_id

    def _audited(self, row: Row) -> bool:
        return bool(self.roles & {"ADMIN", "FINANCE", "PAYROLL"}) and self._subject(row) and self._whole(row)

    def _plan(self, id: UUID) -> bool:
        paying = [each for each in self.rows["comp_assignments"] if each["plan_id"] == id]
        live = any(self._paid(each["user_id"]) for each in paying if each["cancelled_at"] is None)
        return bool(self.roles & {"ADMIN", "FINANCE"}) or live

    def _plan_version(self, row: Row | None) -> bool:
        assert row is not None
        drafts = bool(self.roles & {"ADMIN", "FINANCE"})
        return self._plan(row["plan_id"]) and (drafts or row["status"] != "DRAFT")

    def _plan_rule(self, row: Row | None) -> bool:
        assert row is not None
        return self._plan_version(self._by_id("comp_plan_versions", row["plan_version_id"]))

    def _quota(self, row: Row) -> bool:
        team = self._by_id("teams", row["team_id"])
        return self._paid(row["user_id"]) or (team is not None and self._paid(team["manager_id"]))

    @cached_property
    def _rules(self) -> dict[str, Callable[[Row], bool]]:
        roles = self.roles
        trade = roles - NO_TRADE
        below = roles & {"SELLER", "MANAGER"}
        rules: dict[str, Callable[[Row], bool]] = {
            "Customer": lambda row: self._customer(row, roles),
            "Commission": lambda row: (
                bool(roles & {"ADMIN", "FINANCE"}) or bool(below and row["seller_id"] in self.people)
            ),
            "CommissionProblem": lambda row: (
                bool(roles & {"ADMIN", "FINANCE"}) or bool(below and row["user_id"] in self.people)
            ),
            "CompPlan": lambda row: self._plan(row["id"]),
            "CompPlanVersion": self._plan_version,
            "CompRule": self._plan_rule,
            "CompTier": lambda row: self._plan_rule(self._by_id("comp_rules", row["rule_id"])),
            "CompAssignment": lambda row: self._paid(row["user_id"]),
            "CompSignature": lambda row: self._paid(row["user_id"]),
            "Quota": self._quota,
            "Salary": lambda row: self._pay(row["user_id"]),
            "PayEntry": lambda row: self._pay(row["user_id"]),
            "Opportunity": self._deal,
            "LedgerEntry": lambda row: bool(roles & {"ADMIN", "FINANCE"}),
            "AccountCode": lambda row: bool(roles & {"ADMIN", "FINANCE"}),
            "Erasure": lambda row: "ADMIN" in roles,
            "Event": lambda row: bool(roles) and self._subject(row),
            "AuditEntry": self._audited,
            "SuspenseReceipt": lambda row: bool(roles & {"ADMIN", "FINANCE", "INTEGRATION"}),
            "ApiKey": lambda row: "ADMIN" in roles,
            "Schedule": lambda row: "ADMIN" in roles,
            "EventSubscription": lambda row: "ADMIN" in roles or row["owner_id"] == self.user_id,
            "WebhookEndpoint": self._endpoint,
            "Export": lambda row: "ADMIN" in roles or row["owner_id"] == self.user_id,
            "Job": lambda row: "ADMIN" in roles or row["actor_id"] == self.user_id,
            "Notification": lambda row: row["user_id"] == self.user_id,
            "Task": lambda row: (
                bool(roles & {"ADMIN", "INTEGRATION"})
                or row["assignee_id"] == self.user_id
                or self._below(row["assignee_id"])
            ),
            "EmailMessage": self._mail,
            "DunningLevel": lambda row: bool(trade),
            "IntakeSource": lambda row: bool(roles & {"ADMIN", "MARKETER"}),
            "FollowUpRule": lambda row: bool(roles & {"ADMIN", "MARKETER", "MANAGER"}),
            "Lead": self._lead,
            "LeadDuplicate": lambda row: self._lead_of(row) and self._lead_of(row, "other_id"),
            "RoutingRuleset": lambda row: bool(roles & SEE_ROUTING),
            "RoutingRule": lambda row: bool(roles & SEE_ROUTING),
            "LeadQueue": lambda row: bool(roles & SEE_ROUTING) or self._below(row["owner_id"]),
            "Pool": lambda row: bool(roles & {"ADMIN", "MARKETER", "MANAGER", "SELLER"}),
            "PoolItem": lambda row: (
                bool(roles & {"ADMIN", "MARKETER"})
                or bool(below and row["left_at"] is None)
                or self._below(row["claimed_by_id"])
            ),
        }
        for kind in (
            "PaymentAccount",
            "ProviderEvent",
            "Payout",
            "ReconciliationRun",
            "ReconciliationException",
            *BANK,
        ):
            rules[kind] = lambda row: bool(roles & {"ADMIN", "FINANCE"})
        for kind in ("WebhookDelivery", "WebhookAttempt"):
            rules[kind] = lambda row: self._endpoint(self._by_id("webhook_endpoints", row["endpoint_id"]))
        for kind in ("SellerProfile", "Absence", "PoolMove"):
            rules[kind] = lambda row: bool(roles & {"ADMIN", "MARKETER"}) or self._below(row["user_id"])
        for kind in ("OpportunityAction", "StageTransition", "StaleAlert"):
            rules[kind] = lambda row: self._deal(self._by_id("opportunities", row["opportunity_id"]))
        for kind in ("LeadTransition", "AssignmentDecision"):
            rules[kind] = self._lead_of
        for kind in ("Contact", "Interaction", "Ticket"):
            rules[kind] = lambda row: self._customer_of(row, roles)
        for kind in (
            "Order",
            "OrderLine",
            "CommissionSplit",
            "Payment",
            "Contract",
            "ContractPayment",
            *SEEN_AS_PAYMENTS,
        ):
            rules[kind] = lambda row: self._customer_of(row, trade)
        return rules

    def may_read(self, kind: str, field: str, row: Row) -> bool:
        """Whether a field of a visible row may be read."""
        if (kind, field) == ("User", "salary"):
            return self.in_scope("Salary") and self._pay(row["id"])
        if (kind, field) == ("User", "commission"):
            below = bool(self.roles & {"SELLER", "MANAGER"}) and row["id"] in self.people
            return bool(self.roles & {"ADMIN", "FINANCE"}) or below
        return self._may_ever(kind, field)

    def may_filter(self, kind: str, field: str) -> bool:
        """Whether a field may be filtered or ordered by: only what may be read in every row."""
        if (kind, field) == ("User", "salary"):
            return False
        if (kind, field) == ("User", "formerSalary"):
            return bool(self.roles & {"ADMIN", "FINANCE", "PAYROLL"})
        trade = self.roles - NO_TRADE
        if (kind, field) in KEPT and self.roles & SEE_ALL_CUSTOMERS and not trade & SEE_ALL_CUSTOMERS:
            return False
        return self._may_ever(kind, field)

    def _may_ever(self, kind: str, field: str) -> bool:
        if (kind, field) in COSTS:
            return bool(self.roles & {"ADMIN", "FINANCE", "MANAGER"})
        if kind == "Campaign" and field in ("budget", "spend"):
            return bool(self.roles & {"ADMIN", "FINANCE", "MANAGER", "MARKETER"})
        if (kind, field) == ("AssignmentDecision", "candidates"):
            return bool(self.roles & SEE_ROUTING) and self.in_scope("RoutingRule")
        if kind == "Campaign" and field in FIGURES:
            roles, scopes = FIGURES[field]
            return bool(self.roles & roles) and all(self.in_scope(each) for each in scopes)
        orders = bool(self.roles - NO_TRADE) and self.in_scope("Order")
        payments = bool(self.roles - NO_TRADE) and self.in_scope("Payment")
        if kind == "Order" and field in ("paid", "outstanding", "revenue"):
            return payments
        if (kind, field) == ("Order", "invoiced"):
            return bool(self.roles - NO_TRADE) and self.in_scope("Invoice")
        if (kind, field) == ("Customer", "dunningStopReason"):
            return bool(self.roles - NO_TRADE) and self.in_scope("Invoice")
        if kind == "Customer" and field in ("orderCount", "lifetimeValue", "currencies"):
            return orders
        if kind == "ContractPayment" and field in ("received", "outstanding", "overdue"):
            return orders and payments
        if kind == "Customer" and field in ("outstanding", "overdue", "oldestDueOn", "receivables"):
            return orders and payments
        if kind == "Customer" and field in ("creditBalance", "unearned"):
            return payments
        return True
