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
    "Event": _only(ADMIN, INTEGRATION),
    "AuditEntry": _only(ADMIN, FINANCE),
    "ApiKey": _only(ADMIN),
}

VOUCHES = frozenset({"Customer", "Contact", "Interaction", "Ticket", "Order", "OrderLine", "Payment"})
"""Types whose visible rows prove that their customer is visible."""

COSTS = frozenset({ADMIN, FINANCE, MANAGER})
SALARIES = frozenset({ADMIN, FINANCE})

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
    "Event": "events",
    "AuditEntry": "audit",
    "ApiKey": "apikeys",
}
SCOPES = frozenset(f"{noun}:{way}" for noun in {*NOUNS.values(), "*"} for way in ("read", "write"))


def rows(record: str, who: Who, t: str, *, trusted: bool = False) -> ast.Expr:
    """The condition under which row `t` of a type is visible.

    `trusted`: the row was reached from a visible row of the same customer, over a key that the database checks.
    """
    return ROWS[record](who, t, trusted) if has_scope(who, record, "read") else ast.FALSE


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


def _with_scope(*records: str) -> Callable[[Who, str], ast.Expr]:
    """Fields computed over records of other types: for those who may see such records at all."""

    def rule(who: Who, t: str) -> ast.Expr:
        return ast.Bool(all(rows(record, who, t, trusted=True) != ast.FALSE for record in records))

    return rule


FIELDS: dict[tuple[str, str], Callable[[Who, str], ast.Expr]] = {
    ("User", "salary"): _salary,
    ("Product", "cost"): _cost,
    ("Product", "margin"): _cost,
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
    "User": frozenset({ADMIN}),
    "Team": frozenset({ADMIN}),
}


def require_write(viewer: Viewer, record: str) -> None:
    """Raises `Forbidden` unless the viewer's roles (and the key's scopes) allow changing such records at all."""
    if not viewer.roles & WRITERS[record]:
        allowed = ", ".join(sorted(WRITERS[record]))
        raise Forbidden(f"Changing {NOUNS[record]} needs one of the roles {allowed}.")
    if not has_scope(viewer.who, record, "write"):
        raise Forbidden(f"This API key lacks the scope {NOUNS[record]}:write.")
