"""The statements of an import. Pure text: values are parameters, names come from the models.

A batch is copied into a temporary staging table and written from there by one set-based upsert, which touches only
the rows that differ.
"""

from __future__ import annotations

from collections.abc import Iterable

from crmgql.imports.bindings import Plan
from crmgql.imports.nouns import APPEND_ONLY, SQL_TYPES, STAGES, ZERO, Kind

STAGE = "crmgql_import_stage"
WAITING = {"leads": "num_nonnulls(t.queue_id, t.pool_id) > 0", "customers": "t.pool_id IS NOT NULL"}
"""Which records wait where nobody owns them: a file that still names their old owner does not fetch them back."""

_SUM = "{subtotal_amount} + {shipping_amount} + {tax_amount} - {discount_amount}"


# Since it came into the stage that it left, where that is known: from before, or from this batch.
IN_STAGE = f"""
(SELECT extract(epoch FROM s.occurred_at - greatest(
    (SELECT max(e.occurred_at) FROM stage_transitions e WHERE e.opportunity_id = s.opportunity_id
        AND e.to_stage_id = s.from_stage_id AND e.occurred_at <= s.occurred_at),
    (SELECT max(e.occurred_at) FROM {STAGE} e WHERE e.opportunity_id = s.opportunity_id
        AND e.to_stage_id = s.from_stage_id AND e.occurred_at <= s.occurred_at AND e.n <> s.n)))::bigint)"""


def columns(plan: Plan) -> list[str]:
    """The staging table's columns, in the order of a staged record."""
    return ["n", "external_id", *(field.column for field in plan.fields)]


def create_stage(plan: Plan) -> str:
    """JSON is staged as text: its cast belongs to the upsert, where a bad row can be told from the others."""
    types = {**SQL_TYPES, Kind.JSON: "text"}
    typed = ", ".join(f"{field.column} {types[field.kind]}" for field in plan.fields)
    table = f"CREATE TEMPORARY TABLE {STAGE} (n integer, external_id text, {typed})"
    return f"{table}; CREATE INDEX ON {STAGE} (opportunity_id)" if plan.noun.name == "stage_transitions" else table


DROP_STAGE = f"DROP TABLE IF EXISTS {STAGE}"
EMPTY_STAGE = f"TRUNCATE {STAGE}"


def _derived_insert(noun: str, names: list[str]) -> dict[str, str]:
    """Columns that are worked out, as expressions over the staged row, whose mapped columns are `names`."""
    if noun == "orders":
        return {"total_amount": _SUM.format_map({name: f"s.{name}" for name in ZERO[noun]})}
    if noun == "order_lines":
        rounded = "round(s.quantity * s.unit_price_amount, currency_scale(s.currency))"
        return {"line_amount": f"{rounded} - s.discount_amount"}
    if noun == "stage_transitions" and "from_stage_id" in names:
        return {"seconds_in_stage": IN_STAGE}
    return {}


def _times(noun: str, names: list[str]) -> dict[str, str]:
    """A lead's times, each from what is known of the others; the time of the import where nothing is."""
    if noun != "leads":
        return {}
    order = ("received_at", "status_since", "converted_at", "last_activity_at")
    known = {name: f"s.{name}" for name in order if name in names}
    all_known = ", ".join(known.values())
    first, last = (f"{function}({all_known})" if known else "NULL" for function in ("least", "greatest"))
    received = f"coalesce({known.get('received_at', 'NULL')}, {first}, $2::timestamptz)"
    since = ", ".join(known[name] for name in ("status_since", "converted_at") if name in known)
    return {
        "received_at": received,
        "status_since": f"coalesce({since or 'NULL'}, {received})",
        "last_activity_at": f"coalesce({known.get('last_activity_at', 'NULL')}, {last}, $2::timestamptz)",
    }


def _quietly(noun: str, updates: Iterable[str]) -> str:
    """What else a changed row `t` gets; none of it makes a row differ."""
    if noun != "opportunities":
        return ""
    moved = "t.stage_id IS DISTINCT FROM EXCLUDED.stage_id"
    more = ["stale_known = false", f"stage_since = CASE WHEN {moved} THEN EXCLUDED.stage_since ELSE t.stage_since END"]
    if "currency" in updates:  # amounts of another currency say nothing about this one's
        more.append("highest_amount = CASE WHEN t.currency = EXCLUDED.currency THEN t.highest_amount END")
    return "".join(f", {each}" for each in more)


def _updates(plan: Plan) -> dict[str, str]:
    """What an existing row `t` gets. Only mapped fields change; an order with lines keeps the sums of its lines."""
    updates = {field.column: f"EXCLUDED.{field.column}" for field in plan.fields if field.name in plan.mapped}
    for name in _times(plan.noun.name, []).keys() & updates.keys():
        # The time of this import stands for a blank: what is there already says more.
        updates[name] = f"CASE WHEN EXCLUDED.{name} = $2 THEN t.{name} ELSE EXCLUDED.{name} END"
    if plan.noun.name in WAITING and "owner_id" in updates:
        updates["owner_id"] = f"CASE WHEN {WAITING[plan.noun.name]} THEN t.owner_id ELSE EXCLUDED.owner_id END"
    if plan.noun.name == "orders":
        has_lines = "EXISTS (SELECT FROM order_lines l WHERE l.order_id = t.id)"
        for name in ("subtotal_amount", "shipping_amount"):
            if name in updates:
                updates[name] = f"CASE WHEN {has_lines} THEN t.{name} ELSE EXCLUDED.{name} END"
        parts = {name: f"({updates.get(name, f't.{name}')})" for name in ZERO["orders"]}
        updates["total_amount"] = _SUM.format_map(parts)
    if plan.noun.name == "order_lines":
        quantity = updates.get("quantity", "t.quantity")
        discount = updates.get("discount_amount", "t.discount_amount")
        price = f"round({quantity} * EXCLUDED.unit_price_amount, currency_scale(EXCLUDED.currency))"
        updates["line_amount"] = f"{price} - {discount}"
    return updates


def upsert(plan: Plan) -> str:
    """Parameters: source, now, first and last `n`. One row: inserted, updated, the orders whose lines changed."""
    names = [field.column for field in plan.fields]
    filled = _times(plan.noun.name, names)
    derived = _derived_insert(plan.noun.name, names) | {name: filled[name] for name in filled if name not in names}
    staged = [f"s.{field.column}" + ("::jsonb" if field.kind is Kind.JSON else "") for field in plan.fields]
    selected = [filled.get(name, text) for name, text in zip(names, staged, strict=True)]
    if plan.noun.name == "order_lines" and "quantity" not in names:
        derived["line_amount"] = derived["line_amount"].replace("s.quantity", "1")
    updates = _updates(plan)
    old = ", ".join(f"t.{name}" for name in updates)
    new = ", ".join(updates.values())
    setting = ", ".join(f"{name} = {expression}" for name, expression in updates.items())
    table = plan.noun.name
    before, after = ("old.order_id", "new.order_id") if table == "order_lines" else ("NULL::uuid", "NULL::uuid")
    if table in APPEND_ONLY:
        stamps, conflict = "created_at", "DO NOTHING"
        times = "$2"
    else:
        stamps, times = "created_at, updated_at", "$2, $2"
        conflict = (
            f"DO UPDATE SET {setting}, version = t.version + 1, updated_at = $2{_quietly(table, updates)}"
            f" WHERE ROW({old}) IS DISTINCT FROM ROW({new})"
        )
    return f"""
        WITH written AS (
            INSERT INTO {table} AS t (source, external_id, {stamps}, {", ".join([*names, *derived])})
            SELECT $1, s.external_id, {times}, {", ".join([*selected, *derived.values()])}
            FROM {STAGE} s WHERE s.n BETWEEN $3 AND $4 ORDER BY s.n
            ON CONFLICT (source, external_id) WHERE external_id IS NOT NULL
            {conflict}
            RETURNING old.id IS NULL AS is_new, {before} AS before, {after} AS after
        )
        SELECT count(*) FILTER (WHERE is_new) AS inserted, count(*) FILTER (WHERE NOT is_new) AS updated,
            array_remove(array_agg(DISTINCT before) || array_agg(DISTINCT after), NULL) AS orders
        FROM written"""


# Parameters: order ids, now. Sums of each order's lines, at the scale of its currency even without lines.
ORDER_TOTALS = """
    UPDATE orders o
    SET subtotal_amount = sums.subtotal, shipping_amount = sums.shipping,
        total_amount = sums.subtotal + sums.shipping + o.tax_amount - o.discount_amount,
        version = o.version + 1, updated_at = $2
    FROM (
        SELECT wanted.id, round(coalesce(sum(l.line_amount), 0), currency_scale(wanted.currency)) AS subtotal,
            round(coalesce(sum(l.shipping_amount), 0), currency_scale(wanted.currency)) AS shipping
        FROM orders wanted LEFT JOIN order_lines l ON l.order_id = wanted.id
        WHERE wanted.id = ANY($1) GROUP BY wanted.id
    ) sums
    WHERE o.id = sums.id AND (o.subtotal_amount, o.shipping_amount) IS DISTINCT FROM (sums.subtotal, sums.shipping)"""


def find(table: str, by: str, *, customer: bool) -> str:
    """Ids by key. Parameters: the keys and, by external id, the source."""
    owner = "customer_id" if customer else "NULL::uuid"
    if by == "external_id":
        where = "source = $2 AND external_id = ANY($1::text[]) AND external_id IS NOT NULL"
    elif (table, by) == ("users", "email"):
        by = "lower(email)"
        where = "lower(email) = ANY($1::text[])"
    else:
        where = f"{by} = ANY($1::text[])"
    rows = STAGES if table == "stages" else table
    return f"SELECT {by} AS key, id, {owner} AS customer_id FROM {rows} WHERE {where}"
