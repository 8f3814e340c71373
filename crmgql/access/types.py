"""The entry of every type, written once: who sees its rows and fields, and who changes it."""

from __future__ import annotations

from crmgql.access import rules, trails
from crmgql.access.entries import ENTRIES, Access
from crmgql.access.permissions import PERMISSIONS
from crmgql.access.rights import reach
from crmgql.access.rules import by, computed_over, permitted, permitted_field, results, under_customer, where_visible
from crmgql.viewer import Who

COST = permitted_field("cost.read")
SPEND = permitted_field("spend.read")
ORDERS = computed_over("Order")
PAYMENTS = computed_over("Payment")
INVOICES = computed_over("Invoice")
OWED = computed_over("Order", "Payment")
RECONCILING = permitted("reconciliation.read")

ENTRIES |= {
    "User": Access(
        "users",
        "users",
        permitted("user.read"),
        "user.write",
        fields={
            "salary": rules.pay,
            "commission": rules.field_by("id", "commission.read"),
        },
        former=permitted_field("salary.read"),
    ),
    "Team": Access("teams", "teams", permitted("team.read"), "team.write"),
    "ApiKey": Access("apikeys", "api_keys", permitted("apiKey.read"), "apiKey.write"),
    "Product": Access(
        "products",
        "products",
        permitted("product.read"),
        "product.write",
        fields={"cost": COST, "margin": COST},
        history=("cost",),
    ),
    "Customer": Access(
        "customers",
        "customers",
        rules.customers,
        "customer.write",
        fields={
            "orderCount": ORDERS,
            "lifetimeValue": ORDERS,
            "currencies": ORDERS,
            "outstanding": OWED,
            "overdue": OWED,
            "oldestDueOn": OWED,
            "receivables": OWED,
            "creditBalance": PAYMENTS,
            "dunningStopReason": INVOICES,
            "unearned": PAYMENTS,
        },
        history=("dunningStopReason",),
        vouches=True,
    ),
    "Contact": Access("contacts", "contacts", under_customer("contact.read"), "contact.write", vouches=True),
    "Interaction": Access(
        "interactions", "interactions", under_customer("interaction.read"), "interaction.write", vouches=True
    ),
    "Ticket": Access("tickets", "tickets", under_customer("ticket.read"), "ticket.write", vouches=True),
    "Task": Access("tasks", "tasks", by("assignee_id", "task.read"), "task.write"),
    "Order": Access(
        "orders",
        "orders",
        under_customer("order.read"),
        "order.write",
        fields={
            "cost": COST,
            "margin": COST,
            "paid": PAYMENTS,
            "outstanding": PAYMENTS,
            "revenue": PAYMENTS,
            "invoiced": INVOICES,
        },
        vouches=True,
    ),
    "OrderLine": Access(
        "orders",
        "order_lines",
        under_customer("order.read"),
        fields={"unitCost": COST},
        history=("unitCost",),
        vouches=True,
    ),
    "Contract": Access("contracts", "contracts", under_customer("order.read"), "order.write", vouches=True),
    "ContractPayment": Access(
        "contracts",
        "contract_payments",
        under_customer("order.read"),
        fields={"received": OWED, "outstanding": OWED, "overdue": OWED},
        vouches=True,
    ),
    "Payment": Access("payments", "payments", under_customer("payment.read"), "payment.write", vouches=True),
    "Allocation": Access("payments", "allocations", under_customer("payment.read"), "payment.write", vouches=True),
    "SuspenseReceipt": Access("payments", "suspense_receipts", permitted("suspense.read"), "payment.write"),
    "WriteOff": Access("payments", "write_offs", under_customer("payment.read"), "payment.write", vouches=True),
    "Invoice": Access("invoices", "invoices", under_customer("payment.read"), "payment.write", vouches=True),
    "InvoiceLine": Access("invoices", "invoice_lines", under_customer("payment.read"), vouches=True),
    "Instalment": Access("invoices", "instalments", under_customer("payment.read"), vouches=True),
    "CreditNote": Access("invoices", "credit_notes", under_customer("payment.read"), "payment.write", vouches=True),
    "CreditNoteLine": Access("invoices", "credit_note_lines", under_customer("payment.read"), vouches=True),
    "Reminder": Access("invoices", "reminders", under_customer("payment.read"), vouches=True),
    "DunningLevel": Access("invoices", "dunning_levels", permitted("payment.read"), "payment.write"),
    "PaymentAccount": Access("providers", "payment_accounts", permitted("paymentAccount.read"), "paymentAccount.write"),
    "ProviderEvent": Access("providers", "provider_events", permitted("providerEvent.read"), "providerEvent.write"),
    "Payout": Access("reconciliation", "payouts", RECONCILING, "reconciliation.write"),
    "ReconciliationRun": Access("reconciliation", "reconciliation_runs", RECONCILING),
    "ReconciliationException": Access(
        "reconciliation", "reconciliation_exceptions", RECONCILING, "reconciliation.write"
    ),
    "BankAccount": Access("bank", "bank_accounts", permitted("bank.read"), "bank.write"),
    "BankStatement": Access("bank", "bank_statements", permitted("bank.read"), "bank.write"),
    "BankLine": Access("bank", "bank_lines", permitted("bank.read"), "bank.write"),
    "BankSuggestion": Access("bank", "bank_suggestions", permitted("bank.read")),
    "Dispute": Access("payments", "disputes", under_customer("payment.read"), "payment.write", vouches=True),
    "Refund": Access("payments", "refunds", under_customer("payment.read"), "payment.write", vouches=True),
    "LedgerEntry": Access("ledger", "ledger_entries", under_customer("ledger.read"), vouches=True),
    "AccountCode": Access("ledger", "account_codes", permitted("ledger.read"), "account.write"),
    "FxRate": Access("rates", "fx_rates", permitted("rate.read"), "rate.write"),
    "AccountingPeriod": Access("periods", "accounting_periods", permitted("period.read"), "period.write"),
    "Commission": Access("commissions", "commissions", by("seller_id", "commission.read"), "commission.write"),
    "CommissionProblem": Access("commissions", "commission_problems", by("user_id", "commission.read")),
    "CommissionSplit": Access("orders", "commission_splits", under_customer("order.read"), "split.write", vouches=True),
    "CompPlan": Access("plans", "comp_plans", rules.plans, "plan.write"),
    "CompPlanVersion": Access("plans", "comp_plan_versions", rules.plan_versions, "plan.write"),
    "CompRule": Access("plans", "comp_rules", where_visible("CompPlanVersion", "plan_version_id")),
    "CompTier": Access("plans", "comp_tiers", where_visible("CompRule", "rule_id")),
    "CompAssignment": Access("plans", "comp_assignments", by("user_id", "plan.read"), "plan.write"),
    "CompSignature": Access("plans", "comp_signatures", by("user_id", "plan.read"), "plan.sign"),
    "Quota": Access("quotas", "quotas", rules.quotas, "quota.write"),
    "PayEntry": Access("payroll", "pay_entries", by("user_id", "payroll.read"), "payroll.write"),
    "Salary": Access("payroll", "salaries", by("user_id", "payroll.read"), "payroll.write"),
    "Opportunity": Access("opportunities", "opportunities", rules.opportunities, "opportunity.write"),
    "OpportunityAction": Access("opportunities", "opportunity_actions", where_visible("Opportunity", "opportunity_id")),
    "StageTransition": Access("opportunities", "stage_transitions", where_visible("Opportunity", "opportunity_id")),
    "StaleAlert": Access("opportunities", "stale_alerts", where_visible("Opportunity", "opportunity_id")),
    "Pipeline": Access("pipelines", "pipelines", permitted("pipeline.read"), "pipeline.write"),
    "Stage": Access("pipelines", "stages", permitted("pipeline.read"), "pipeline.write"),
    "KeyAction": Access("pipelines", "key_actions", permitted("pipeline.read"), "pipeline.write"),
    "ScoreRule": Access("pipelines", "score_rules", permitted("pipeline.read"), "pipeline.write"),
    "BusinessCalendar": Access("pipelines", "business_calendars", permitted("calendar.read"), "calendar.write"),
    "Campaign": Access(
        "marketing",
        "campaigns",
        permitted("campaign.read"),
        "campaign.write",
        fields={
            "budget": SPEND,
            "spend": SPEND,
            "leadCount": results("Lead"),
            "qualifiedCount": results("Lead"),
            "convertedCount": results("Lead"),
            "conversionRate": results("Lead"),
            "wonCount": results("Lead", "Opportunity"),
            "wonRevenue": results("Lead", "Opportunity", asks=("spend.read",)),
            # What was spent can be held only against all leads.
            "costPerLead": results("Lead", asks=("spend.read", "lead.figures")),
            "returnOnSpend": results("Lead", "Opportunity", asks=("spend.read", "lead.figures")),
        },
        history=("budget", "spend"),
    ),
    "IntakeSource": Access("marketing", "intake_sources", permitted("intakeSource.read"), "intakeSource.write"),
    "FollowUpRule": Access("marketing", "follow_up_rules", permitted("followUpRule.read"), "followUpRule.write"),
    "Lead": Access("leads", "leads", rules.leads, "lead.write", figures="lead.figures"),
    "LeadTransition": Access("leads", "lead_transitions", where_visible("Lead", "lead_id")),
    "LeadDuplicate": Access("leads", "lead_duplicates", rules.duplicates, "lead.write"),
    "AssignmentDecision": Access(
        "leads",
        "assignment_decisions",
        where_visible("Lead", "lead_id"),
        fields={"candidates": computed_over("RoutingRule")},
        history=("candidates",),
    ),
    "RoutingRuleset": Access("routing", "routing_rulesets", permitted("routing.read"), "routing.write"),
    "RoutingRule": Access("routing", "routing_rules", permitted("routing.read"), "routing.write"),
    "LeadQueue": Access("routing", "lead_queues", by("owner_id", "leadQueue.read"), "leadQueue.write"),
    "SellerProfile": Access("routing", "seller_profiles", by("user_id", "sellerProfile.read"), "sellerProfile.write"),
    "Absence": Access("routing", "absences", by("user_id", "absence.read"), "absence.write"),
    "Pool": Access("pools", "pools", permitted("pool.read"), "pool.write"),
    "PoolItem": Access("pools", "pool_items", rules.pool_items, "poolItem.write"),
    "PoolMove": Access("pools", "pool_moves", by("user_id", "poolMove.read")),
    "Notification": Access(
        "notifications", "notifications", rules.own("user_id", "notification.read"), "notification.write"
    ),
    "EmailMessage": Access("emails", "email_messages", rules.emails, "email.write"),
    "WebhookEndpoint": Access("webhooks", "webhook_endpoints", by("owner_id", "webhook.read"), "webhook.write"),
    "WebhookDelivery": Access("webhooks", "webhook_deliveries", where_visible("WebhookEndpoint", "endpoint_id")),
    "WebhookAttempt": Access("webhooks", "webhook_attempts", where_visible("WebhookEndpoint", "endpoint_id")),
    "Job": Access("jobs", "jobs", by("actor_id", "job.read"), "job.write"),
    "Schedule": Access("jobs", "schedules", permitted("schedule.read"), "schedule.write"),
    "Company": Access("settings", "companies", permitted("company.read"), "company.write"),
    "Erasure": Access("erasures", "erasures", permitted("erasure.read"), "erasure.write"),
    "EventSubscription": Access(
        "subscriptions", "event_subscriptions", by("owner_id", "subscription.read"), "subscription.write"
    ),
    "Export": Access("exports", "exports", by("owner_id", "export.read"), "export.write"),
    "Event": Access("events", "events", trails.following("event.read")),
    "AuditEntry": Access("audit", "audit_entries", trails.following("audit.read", old_values=True)),
}

SCOPES = frozenset(
    f"{noun}:{way}" for noun in {*(entry.noun for entry in ENTRIES.values()), "*"} for way in ("read", "write")
)
"""All scopes that an API key can have."""


def covers(who: Who, other: Who) -> bool:
    """Whether one may read and do all that the other may."""
    as_far = all(reach(who, name) >= reach(other, name) for name in PERMISSIONS)
    return as_far and (
        who.scopes is None or (narrowed(other.scopes) or SCOPES) <= (narrowed(who.scopes) or frozenset())
    )


def narrowed(*limits: frozenset[str] | None) -> frozenset[str] | None:
    """The scopes that all limits have in common; None stands for no limit."""
    given = [limit for limit in limits if limit is not None]
    if not given:
        return None
    return frozenset(scope for scope in SCOPES if all({scope, f"*:{scope.partition(':')[2]}"} & each for each in given))
