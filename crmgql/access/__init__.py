"""Who may see and change what: each rule written once, as a SQL expression or a set of roles.

The planner folds the row and field rules into its statement; the domain puts the same row rule into the WHERE of its
locked reads. Three ideas carry everything:

- most records belong to a customer and are visible when the customer is (`_under_customer`);
- a customer is visible to all-seeing roles, to the owner, and to the managers above the owner;
- an API key sees what its user sees, within its scopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crmgql.errors import Forbidden
from crmgql.sql import ast
from crmgql.viewer import Viewer, Who

ADMIN, FINANCE, MANAGER, SELLER = "ADMIN", "FINANCE", "MANAGER", "SELLER"
SUPPORT, MARKETER, INTEGRATION = "SUPPORT", "MARKETER", "INTEGRATION"
EVERYBODY = frozenset({ADMIN, FINANCE, MANAGER, SELLER, SUPPORT, MARKETER, INTEGRATION})


@dataclass(frozen=True, slots=True)
class ViewerId:
    """Parameter source: the id of the user who asks."""


VIEWER_ID = ast.Param(ViewerId(), "uuid")
TEAM = ast.Cast(
    ast.Subquery(ast.Select(((ast.Func("team_reach", (VIEWER_ID,)), "ids"),))),
    "uuid[]",
)
"""The manager, the members of the teams under them and those teams' managers; evaluated once per statement."""

Rule = Callable[[Who, str, bool], ast.Expr]
"""(who, alias of the row, whether the row was reached from a visible record of the same customer) → condition."""


def _held_by(who: Who, t: str, column: str, all_seeing: frozenset[str]) -> ast.Expr:
    """All, the team's or one's own, by the user in `column`."""
    if who.roles & all_seeing:
        return ast.TRUE
    if MANAGER in who.roles:
        return ast.AnyOf(ast.Col(t, column), TEAM)
    if SELLER in who.roles:
        return ast.eq(ast.Col(t, column), VIEWER_ID)
    return ast.FALSE


def _customers(who: Who, t: str, trusted: bool) -> ast.Expr:
    if trusted:
        return ast.TRUE
    return _held_by(who, t, "owner_id", frozenset({ADMIN, FINANCE, SUPPORT, MARKETER, INTEGRATION}))


def _visible_customer(who: Who, t: str) -> ast.Expr:
    rule = _customers(who, "owner", False)
    if isinstance(rule, ast.Bool):
        return rule
    same = ast.eq(ast.Col("owner", "id"), ast.Col(t, "customer_id"))
    return ast.Exists(
        ast.Select(((ast.Num(1), "one"),), ast.Table("customers", "owner"), where=ast.all_of([same, rule]))
    )


def _under_customer(*, hidden_from: frozenset[str] = frozenset()) -> Rule:
    """Visible when the customer is, unless all of the viewer's roles are in `hidden_from`."""

    def rule(who: Who, t: str, trusted: bool) -> ast.Expr:
        seeing = Who(who.roles - hidden_from, who.scopes)
        if not seeing.roles:
            return ast.FALSE
        if trusted and seeing.roles == who.roles:
            return ast.TRUE
        return _visible_customer(seeing, t)

    return rule


def _commissions(who: Who, t: str, trusted: bool) -> ast.Expr:
    return _held_by(who, t, "seller_id", frozenset({ADMIN, FINANCE}))


def _opportunities(who: Who, t: str, trusted: bool) -> ast.Expr:
    if trusted:
        return ast.TRUE
    return ast.any_of([_held_by(who, t, "owner_id", frozenset({ADMIN, FINANCE})), _visible_customer(who, t)])


def _own(column: str, *all_seeing: str) -> Rule:
    """All, the team's or one's own, by the user in `column`."""
    return lambda who, t, trusted: _held_by(who, t, column, frozenset(all_seeing))


def _personal(column: str, *all_seeing: str) -> Rule:
    """One's own, whatever one's roles, unless one of them sees all."""

    def rule(who: Who, t: str, trusted: bool) -> ast.Expr:
        if not who.roles:
            return ast.FALSE
        return ast.TRUE if who.roles & set(all_seeing) else ast.eq(ast.Col(t, column), VIEWER_ID)

    return rule


def _for_whom(column: str, *all_seeing: str) -> Rule:
    """All, the team's or, whatever one's roles, one's own."""

    def rule(who: Who, t: str, trusted: bool) -> ast.Expr:
        held = _held_by(who, t, column, frozenset(all_seeing))
        return _personal(column)(who, t, trusted) if held == ast.FALSE else held

    return rule


def _where_visible(record: str, table: str, column: str) -> Rule:
    """Visible when the record behind a key is."""

    def rule(who: Who, t: str, trusted: bool) -> ast.Expr:
        behind = ROWS[record](who, f"{t}_of", False)
        if isinstance(behind, ast.Bool):
            return behind
        same = ast.eq(ast.Col(f"{t}_of", "id"), ast.Col(t, column))
        found = ast.Select(((ast.Num(1), "one"),), ast.Table(table, f"{t}_of"), where=ast.all_of([same, behind]))
        return ast.Exists(found)

    return rule


def _leads(who: Who, t: str, trusted: bool) -> ast.Expr:
    """By the owner; those who wait in a queue also by the queue's owner."""
    own = _held_by(who, t, "owner_id", frozenset({ADMIN, MARKETER, INTEGRATION}))
    if isinstance(own, ast.Bool):
        return own
    queues = ast.Select(
        ((ast.Col("waiting", "id"), "id"),),
        ast.Table("lead_queues", "waiting"),
        where=_held_by(who, "waiting", "owner_id", frozenset()),
    )
    # An array rather than EXISTS: both sides of the OR can then use an index.
    return ast.any_of([own, ast.AnyOf(ast.Col(t, "queue_id"), ast.ArrayOf(queues))])


def _duplicates(who: Who, t: str, trusted: bool) -> ast.Expr:
    """A pair, for those who see both."""
    return ast.all_of([_where_visible("Lead", "leads", key)(who, t, trusted) for key in ("lead_id", "other_id")])


def _pool_items(who: Who, t: str, trusted: bool) -> ast.Expr:
    """What is in a pool, for all who may claim; what has left it, for who claimed it and those who watch."""
    if who.roles & {ADMIN, MARKETER}:
        return ast.TRUE
    claimed = _held_by(who, t, "claimed_by_id", frozenset())
    return ast.FALSE if claimed == ast.FALSE else ast.any_of([ast.IsNull(ast.Col(t, "left_at")), claimed])


def _emails(who: Who, t: str, trusted: bool) -> ast.Expr:
    """To a lead: for those who see the lead. To one of us: for nobody else, as it says what notifications say."""
    if not who.roles:
        return ast.FALSE
    mine = ast.eq(ast.Col(t, "user_id"), VIEWER_ID)
    to_lead = ast.IsNull(ast.Col(t, "lead_id"), negated=True)
    if who.roles & {ADMIN, MARKETER}:
        return ast.any_of([mine, to_lead, ast.IsNull(ast.Col(t, "user_id"))])
    return ast.any_of([mine, ast.all_of([to_lead, _where_visible("Lead", "leads", "lead_id")(who, t, trusted)])])


def _everybody(who: Who, t: str, trusted: bool) -> ast.Expr:
    return ast.TRUE if who.roles else ast.FALSE


def _only(*roles: str) -> Rule:
    return lambda who, t, trusted: ast.TRUE if who.roles & set(roles) else ast.FALSE


ROWS: dict[str, Rule] = {
    "User": _everybody,
    "Team": _everybody,
    "Product": _everybody,
    "Customer": _customers,
    "Contact": _under_customer(),
    "Interaction": _under_customer(),
    "Ticket": _under_customer(),
    "Order": _under_customer(hidden_from=frozenset({MARKETER})),
    "OrderLine": _under_customer(hidden_from=frozenset({MARKETER})),
    "Payment": _under_customer(hidden_from=frozenset({MARKETER})),
    "Commission": _commissions,
    "Opportunity": _opportunities,
    "Erasure": _only(ADMIN),
    "Event": _only(ADMIN, INTEGRATION),
    "AuditEntry": _only(ADMIN, FINANCE),
    "ApiKey": _only(ADMIN),
    "Job": _personal("actor_id", ADMIN),
    "Schedule": _only(ADMIN),
    "Pipeline": _everybody,
    "Stage": _everybody,
    "KeyAction": _everybody,
    "BusinessCalendar": _everybody,
    "Company": _everybody,
    "ScoreRule": _everybody,
    "OpportunityAction": _where_visible("Opportunity", "opportunities", "opportunity_id"),
    "StageTransition": _where_visible("Opportunity", "opportunities", "opportunity_id"),
    "StaleAlert": _where_visible("Opportunity", "opportunities", "opportunity_id"),
    "Notification": _personal("user_id"),
    "Task": _for_whom("assignee_id", ADMIN, INTEGRATION),
    "EmailMessage": _emails,
    "Campaign": _everybody,
    "IntakeSource": _only(ADMIN, MARKETER),
    "FollowUpRule": _only(ADMIN, MARKETER, MANAGER),
    "Lead": _leads,
    "LeadTransition": _where_visible("Lead", "leads", "lead_id"),
    "LeadDuplicate": _duplicates,
    "AssignmentDecision": _where_visible("Lead", "leads", "lead_id"),
    "RoutingRuleset": _only(ADMIN, MANAGER, MARKETER),
    "RoutingRule": _only(ADMIN, MANAGER, MARKETER),
    "LeadQueue": _own("owner_id", ADMIN, MANAGER, MARKETER),
    "SellerProfile": _own("user_id", ADMIN, MARKETER),
    "Absence": _own("user_id", ADMIN, MARKETER),
    "Pool": _only(ADMIN, MANAGER, SELLER, MARKETER),
    "PoolItem": _pool_items,
    "PoolMove": _own("user_id", ADMIN, MARKETER),
}

VOUCHES = frozenset({"Customer", "Contact", "Interaction", "Ticket", "Order", "OrderLine", "Payment"})
"""Types whose visible rows prove that their customer is visible."""

COSTS = frozenset({ADMIN, FINANCE, MANAGER})
SALARIES = frozenset({ADMIN, FINANCE})
SPENDS = frozenset({ADMIN, FINANCE, MANAGER, MARKETER})
WHOLE = frozenset({ADMIN, FINANCE, MARKETER})
"""Roles whose figures of a campaign count all its leads: only theirs can be held against all that was spent."""

NOUNS = {
    "User": "users",
    "Team": "teams",
    "Product": "products",
    "Customer": "customers",
    "Contact": "contacts",
    "Interaction": "interactions",
    "Ticket": "tickets",
    "Order": "orders",
    "OrderLine": "orders",
    "Payment": "payments",
    "Commission": "commissions",
    "Opportunity": "opportunities",
    "Erasure": "erasures",
    "Event": "events",
    "AuditEntry": "audit",
    "ApiKey": "apikeys",
    "Job": "jobs",
    "Schedule": "jobs",
    "Pipeline": "pipelines",
    "Stage": "pipelines",
    "KeyAction": "pipelines",
    "BusinessCalendar": "pipelines",
    "Company": "settings",
    "ScoreRule": "pipelines",
    "OpportunityAction": "opportunities",
    "StageTransition": "opportunities",
    "StaleAlert": "opportunities",
    "Notification": "notifications",
    "Task": "tasks",
    "EmailMessage": "emails",
    "Campaign": "marketing",
    "IntakeSource": "marketing",
    "FollowUpRule": "marketing",
    "Lead": "leads",
    "LeadTransition": "leads",
    "LeadDuplicate": "leads",
    "AssignmentDecision": "leads",
    "RoutingRuleset": "routing",
    "RoutingRule": "routing",
    "LeadQueue": "routing",
    "SellerProfile": "routing",
    "Absence": "routing",
    "Pool": "pools",
    "PoolItem": "pools",
    "PoolMove": "pools",
}
SCOPES = frozenset(f"{noun}:{way}" for noun in {*NOUNS.values(), "*"} for way in ("read", "write"))


def rows(record: str, who: Who, t: str, *, trusted: bool = False) -> ast.Expr:
    """The condition under which row `t` of a type is visible.

    `trusted`: the row was reached from a visible row of the same customer, over a key that the database checks.
    """
    return ROWS[record](who, t, trusted) if has_scope(who, record, "read") else ast.FALSE


def figures(record: str, who: Who, t: str) -> ast.Expr:
    """As `rows`, for what is only counted or summed up: finance sees no lead, but what leads came to."""
    if record == "Lead" and FINANCE in who.roles and has_scope(who, record, "read"):
        return ast.TRUE
    return rows(record, who, t)


def require_read(who: Who, record: str) -> None:
    """Raises `Forbidden` when an API key asks for a type outside its scopes."""
    if not has_scope(who, record, "read"):
        raise Forbidden(f"This API key lacks the scope {NOUNS[record]}:read.")


def has_scope(who: Who, record: str, way: str) -> bool:
    return who.scopes is None or bool(who.scopes & {f"{NOUNS[record]}:{way}", f"*:{way}"})


def _salary(who: Who, t: str) -> ast.Expr:
    return ast.TRUE if who.roles & SALARIES else ast.eq(ast.Col(t, "id"), VIEWER_ID)


def _cost(who: Who, t: str) -> ast.Expr:
    return ast.TRUE if who.roles & COSTS else ast.FALSE


def _spend(who: Who, t: str) -> ast.Expr:
    return ast.TRUE if who.roles & SPENDS else ast.FALSE


def _with_scope(*records: str) -> Callable[[Who, str], ast.Expr]:
    """Fields computed over records of other types: for those who may see such records at all."""

    def rule(who: Who, t: str) -> ast.Expr:
        return ast.Bool(all(rows(record, who, t, trusted=True) != ast.FALSE for record in records))

    return rule


def _results(*records: str, roles: frozenset[str] = EVERYBODY) -> Callable[[Who, str], ast.Expr]:
    """What a campaign came to, for those of these roles who may see such figures at all."""

    def rule(who: Who, t: str) -> ast.Expr:
        return ast.Bool(bool(who.roles & roles) and all(figures(each, who, t) != ast.FALSE for each in records))

    return rule


FIELDS: dict[tuple[str, str], Callable[[Who, str], ast.Expr]] = {
    ("User", "salary"): _salary,
    ("Product", "cost"): _cost,
    ("Product", "margin"): _cost,
    ("Campaign", "budget"): _spend,
    ("Campaign", "spend"): _spend,
    ("Campaign", "leadCount"): _results("Lead"),
    ("Campaign", "qualifiedCount"): _results("Lead"),
    ("Campaign", "convertedCount"): _results("Lead"),
    ("Campaign", "conversionRate"): _results("Lead"),
    ("Campaign", "wonCount"): _results("Lead", "Opportunity"),
    ("Campaign", "wonRevenue"): _results("Lead", "Opportunity", roles=SPENDS),
    ("Campaign", "costPerLead"): _results("Lead", roles=WHOLE),
    ("Campaign", "returnOnSpend"): _results("Lead", "Opportunity", roles=WHOLE),
    ("AssignmentDecision", "candidates"): _with_scope("RoutingRule"),
    ("OrderLine", "unitCost"): _cost,
    ("Order", "cost"): _cost,
    ("Order", "margin"): _cost,
    ("Order", "paid"): _with_scope("Payment"),
    ("Order", "outstanding"): _with_scope("Payment"),
    ("Customer", "orderCount"): _with_scope("Order"),
    ("Customer", "lifetimeValue"): _with_scope("Order"),
    ("Customer", "currencies"): _with_scope("Order"),
    ("Customer", "outstanding"): _with_scope("Order", "Payment"),
}


def field(record: str, name: str, who: Who, t: str) -> ast.Expr:
    """The condition under which a field of row `t` may be read; TRUE for nearly all."""
    rule = FIELDS.get((record, name))
    return ast.TRUE if rule is None else rule(who, t)


WRITERS: dict[str, frozenset[str]] = {
    "Customer": frozenset({ADMIN, FINANCE, MANAGER, SELLER, SUPPORT, MARKETER, INTEGRATION}),
    "Contact": frozenset({ADMIN, MANAGER, SELLER, SUPPORT, MARKETER, INTEGRATION}),
    "Product": frozenset({ADMIN, FINANCE, INTEGRATION}),
    "Order": frozenset({ADMIN, FINANCE, MANAGER, SELLER, INTEGRATION}),
    "Payment": frozenset({ADMIN, FINANCE, INTEGRATION}),
    "Opportunity": frozenset({ADMIN, MANAGER, SELLER, INTEGRATION}),
    "Interaction": frozenset({ADMIN, FINANCE, MANAGER, SELLER, SUPPORT, MARKETER, INTEGRATION}),
    "Ticket": frozenset({ADMIN, MANAGER, SELLER, SUPPORT, INTEGRATION}),
    "ApiKey": frozenset({ADMIN}),
    "Erasure": frozenset({ADMIN}),
    "User": frozenset({ADMIN}),
    "Team": frozenset({ADMIN}),
    "Job": frozenset({ADMIN}),
    "Schedule": frozenset({ADMIN}),
    "Pipeline": frozenset({ADMIN}),
    "Stage": frozenset({ADMIN}),
    "KeyAction": frozenset({ADMIN}),
    "BusinessCalendar": frozenset({ADMIN}),
    "Company": frozenset({ADMIN}),
    "ScoreRule": frozenset({ADMIN}),
    "Notification": EVERYBODY,
    "Task": EVERYBODY,
    "EmailMessage": frozenset({ADMIN}),
    "Campaign": frozenset({ADMIN, MARKETER}),
    "IntakeSource": frozenset({ADMIN, MARKETER}),
    "FollowUpRule": frozenset({ADMIN, MARKETER}),
    "Lead": frozenset({ADMIN, MANAGER, SELLER, MARKETER, INTEGRATION}),
    "LeadDuplicate": frozenset({ADMIN, MANAGER, SELLER, MARKETER, INTEGRATION}),
    "RoutingRuleset": frozenset({ADMIN, MARKETER}),
    "RoutingRule": frozenset({ADMIN, MARKETER}),
    "LeadQueue": frozenset({ADMIN, MARKETER}),
    "SellerProfile": frozenset({ADMIN, MANAGER}),
    "Absence": frozenset({ADMIN, MANAGER, SELLER}),
    "Pool": frozenset({ADMIN, MARKETER}),
    "PoolItem": frozenset({ADMIN, MANAGER, SELLER}),
}


def require_write(viewer: Viewer, record: str) -> None:
    """Raises `Forbidden` unless the viewer's roles (and the key's scopes) allow changing such records at all."""
    if not viewer.roles & WRITERS[record]:
        allowed = ", ".join(sorted(WRITERS[record]))
        raise Forbidden(f"Changing {NOUNS[record]} needs one of the roles {allowed}.")
    if not has_scope(viewer.who, record, "write"):
        raise Forbidden(f"This API key lacks the scope {NOUNS[record]}:write.")


def sees_all(who: Who, record: str) -> bool:
    """Whether these roles see every row of a type. A key's scopes count for nothing: they narrow what its user may see."""
    return ROWS[record](Who(who.roles), "t", False) == ast.TRUE


def require_all(viewer: Viewer, record: str, *, field: str) -> None:
    """Raises `Forbidden` unless the viewer's roles see every row of a type: for values that no two rows may have in common.

    Others would learn from a conflict that there is a row which is hidden from them. So they are refused whatever the value.
    """
    if not sees_all(viewer.who, record):
        raise Forbidden(
            f"Setting {field} is for those who see all {NOUNS[record]}, as no two may have the same. Leave it out.",
            field=field,
        )
