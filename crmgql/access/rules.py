"""The kinds of row and field rules, from which the entries are made: a permission's reach → a SQL condition."""

from __future__ import annotations

from collections.abc import Sequence

from crmgql.access.entries import ENTRIES, FieldRule, RowRule, figures, has_scope, rows
from crmgql.access.parameters import TEAM, VIEWER_ID
from crmgql.access.permissions import Reach
from crmgql.access.rights import may, reach
from crmgql.sql import ast
from crmgql.viewer import Who


def held_by(t: str, column: str, far: Reach) -> ast.Expr:
    """All rows, those of the team's, or one's own, by the user in `column`."""
    match far:
        case Reach.ALL:
            return ast.TRUE
        case Reach.TEAM:
            return ast.AnyOf(ast.Col(t, column), TEAM)
        case Reach.OWN:
            return ast.eq(ast.Col(t, column), VIEWER_ID)
        case Reach.NONE:
            return ast.FALSE


def by(column: str, permission: str) -> RowRule:
    """By the user in `column`, as far as the permission goes."""
    return lambda who, t, trusted: held_by(t, column, reach(who, permission))


def own(column: str, permission: str) -> RowRule:
    """One's own, for those who have the permission."""
    return lambda who, t, trusted: held_by(t, column, Reach.OWN if may(who, permission) else Reach.NONE)


def permitted(permission: str) -> RowRule:
    """All rows or none."""
    return lambda who, t, trusted: ast.Bool(may(who, permission))


def customers(who: Who, t: str, trusted: bool) -> ast.Expr:
    far = reach(who, "customer.read")
    return ast.TRUE if trusted and far else held_by(t, "owner_id", far)


def under_customer(permission: str) -> RowRule:
    """By the owner of the customer; never further than customers themselves are seen, for which such rows vouch."""

    def rule(who: Who, t: str, trusted: bool) -> ast.Expr:
        seen = reach(who, "customer.read")
        far = min(reach(who, permission), seen)
        return ast.TRUE if trusted and far and far is seen else _of_customer(t, far)

    return rule


def _of_customer(t: str, far: Reach) -> ast.Expr:
    return _exists("customers", "owner", held_by("owner", "owner_id", far), (t, "customer_id"))


def _exists(table: str, alias: str, rule: ast.Expr, key: tuple[str, str]) -> ast.Expr:
    """Whether the row of a table that a key points at is there and the rule holds for it."""
    if isinstance(rule, ast.Bool):
        return rule
    same = ast.eq(ast.Col(alias, "id"), ast.Col(*key))
    return ast.Exists(ast.Select(((ast.Num(1), "one"),), ast.Table(table, alias), where=ast.all_of([same, rule])))


def opportunities(who: Who, t: str, trusted: bool) -> ast.Expr:
    """By their owner, or by that of their customer."""
    far, seen = reach(who, "opportunity.read"), reach(who, "customer.read")
    if trusted and far and seen <= far:
        return ast.TRUE
    return ast.any_of([held_by(t, "owner_id", far), _of_customer(t, min(far, seen))])


def where_visible(record: str, column: str) -> RowRule:
    """Visible when the record behind a key is."""

    def rule(who: Who, t: str, trusted: bool) -> ast.Expr:
        entry, alias = ENTRIES[record], f"{t}_of"
        return _exists(entry.table, alias, entry.rows(who, alias, False), (t, column))

    return rule


def leads(who: Who, t: str, trusted: bool) -> ast.Expr:
    """By the owner; those who wait in a queue also by the queue's owner."""
    far = reach(who, "lead.read")
    mine = held_by(t, "owner_id", far)
    if isinstance(mine, ast.Bool):
        return mine
    queues = ast.Select(
        ((ast.Col("waiting", "id"), "id"),),
        ast.Table("lead_queues", "waiting"),
        where=held_by("waiting", "owner_id", far),
    )
    # An array rather than EXISTS: both sides of the OR can then use an index.
    return ast.any_of([mine, ast.AnyOf(ast.Col(t, "queue_id"), ast.ArrayOf(queues))])


def duplicates(who: Who, t: str, trusted: bool) -> ast.Expr:
    """A pair, for those who see both."""
    return ast.all_of([where_visible("Lead", key)(who, t, trusted) for key in ("lead_id", "other_id")])


def pool_items(who: Who, t: str, trusted: bool) -> ast.Expr:
    """What is in a pool, for all who may claim; what has left it, for who claimed it and those who watch."""
    claimed = held_by(t, "claimed_by_id", reach(who, "poolItem.read"))
    return claimed if isinstance(claimed, ast.Bool) else ast.any_of([ast.IsNull(ast.Col(t, "left_at")), claimed])


def emails(who: Who, t: str, trusted: bool) -> ast.Expr:
    """To a lead: for those who see the lead. To a customer: for those who see its invoices. To one of us: for nobody else, as it says what
    notifications say."""
    far = reach(who, "email.read")
    if far is Reach.NONE:
        return ast.FALSE
    mine = ast.eq(ast.Col(t, "user_id"), VIEWER_ID)
    to_lead = ast.IsNull(ast.Col(t, "lead_id"), negated=True)
    to_customer = ast.IsNull(ast.Col(t, "customer_id"), negated=True)
    billed = ast.all_of([to_customer, under_customer("payment.read")(who, t, trusted)])
    if far is Reach.ALL:
        outside = ast.all_of([ast.IsNull(ast.Col(t, "user_id")), ast.IsNull(ast.Col(t, "customer_id"))])
        return ast.any_of([mine, to_lead, outside, billed])
    return ast.any_of([mine, ast.all_of([to_lead, where_visible("Lead", "lead_id")(who, t, trusted)]), billed])


def plans(who: Who, t: str, trusted: bool) -> ast.Expr:
    """By whom it pays or paid."""
    return _paying(t, "id", reach(who, "plan.read"))


def plan_versions(who: Who, t: str, trusted: bool) -> ast.Expr:
    """As their plans; drafts, for those who see all plans."""
    paying = _paying(t, "plan_id", reach(who, "plan.read"))
    said = ast.AnyOf(ast.Col(t, "status"), ast.Cast(ast.Text("{APPROVED,RETIRED}"), "text[]"))
    return paying if isinstance(paying, ast.Bool) else ast.all_of([said, paying])


def _paying(t: str, plan: str, far: Reach) -> ast.Expr:
    alias = f"{t}_paid"
    paid = held_by(alias, "user_id", far)
    if isinstance(paid, ast.Bool):
        return paid
    same = ast.eq(ast.Col(t, plan), ast.Col(alias, "plan_id"))
    live = ast.IsNull(ast.Col(alias, "cancelled_at"))
    found = ast.Table("comp_assignments", alias)
    return ast.Exists(ast.Select(((ast.Num(1), "one"),), found, where=ast.all_of([same, live, paid])))


def quotas(who: Who, t: str, trusted: bool) -> ast.Expr:
    """A person's by that person, a team's by its manager."""
    far = reach(who, "quota.read")
    mine = held_by(t, "user_id", far)
    if isinstance(mine, ast.Bool):
        return mine
    teams = ast.Select(
        ((ast.Col("managed", "id"), "id"),), ast.Table("teams", "managed"), where=held_by("managed", "manager_id", far)
    )
    return ast.any_of([mine, ast.AnyOf(ast.Col(t, "team_id"), ast.ArrayOf(teams))])


def permitted_field(permission: str) -> FieldRule:
    """For all rows or none."""
    return lambda who, t: ast.Bool(may(who, permission))


def pay(who: Who, t: str) -> ast.Expr:
    """What a user is paid: one's own, or everybody's; as salaries themselves are seen."""
    return held_by(t, "id", reach(who, "payroll.read")) if has_scope(who, "Salary", "read") else ast.FALSE


def field_by(column: str, permission: str) -> FieldRule:
    """In the rows whose `column` is a user whom the permission reaches."""
    return lambda who, t: held_by(t, column, reach(who, permission))


def computed_over(*records: str) -> FieldRule:
    """Computed over records of other types: for those who may see such records at all."""
    return lambda who, t: ast.Bool(all(rows(record, who, t, trusted=True) != ast.FALSE for record in records))


def results(*records: str, asks: Sequence[str] = ()) -> FieldRule:
    """What a campaign came to, for those who have these permissions and may see such figures at all."""

    def rule(who: Who, t: str) -> ast.Expr:
        permitted = all(may(who, permission) for permission in asks)
        return ast.Bool(permitted and all(figures(record, who, t) != ast.FALSE for record in records))

    return rule
