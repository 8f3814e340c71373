"""How old rows are deleted: in batches, so that no transaction holds locks for long."""

from __future__ import annotations


def sql(table: str, condition: str, *, order: str) -> str:
    """SQL that deletes up to $2 rows that meet a condition on $1, the first ones by `order`, and counts them.

    It skips locked rows, so that it waits for nobody and can't deadlock.
    """
    return f"""
WITH gone AS (
    DELETE FROM {table} WHERE id IN (
        SELECT id FROM {table} WHERE {condition}
        ORDER BY {order}, id LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id)
SELECT count(*) FROM gone"""
