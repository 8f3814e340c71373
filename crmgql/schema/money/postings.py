"""The postings of an entry of the books, and the ids of what it is about."""

from __future__ import annotations

from crmgql.engine import declare
from crmgql.engine.scalars import CurrencyCode, DecimalText
from crmgql.engine.strawberries import Field, lazy, object_type
from crmgql.models.names import PREFIXES
from crmgql.planner import codecs
from crmgql.planner.metadata import Parts
from crmgql.sql import ast
from crmgql.viewer import Who

object_type(
    "LedgerPosting",
    [
        Field("n", int, "Its number in the entry, from 1."),
        Field("debit", lazy("AccountPurpose"), "The account that the amount goes to."),
        Field("credit", lazy("AccountPurpose"), "The account that it comes from."),
        Field("amount", DecimalText, "0 where only base currency moves."),
        Field("currency", CurrencyCode),
        Field("baseAmount", DecimalText, "In the base currency of the books."),
    ],
    "An amount that moves from one account to another.",
)


def postings() -> object:
    def build(who: Who, t: str) -> Parts:
        def column(name: str, codec: codecs.Codec) -> ast.Expr:
            return codec.json(ast.Col("p", name))

        own = [
            ast.eq(ast.Col("p", "owner_id"), ast.Col(t, "owner_id")),
            ast.eq(ast.Col("p", "entry_id"), ast.Col(t, "id")),
        ]
        return Parts(
            source=ast.Table("postings", "p"),
            where=ast.all_of(own),
            order=ast.Col("p", "n"),
            texts={
                "n": column("n", codecs.INT),
                "debit": column("debit", codecs.STRING),
                "credit": column("credit", codecs.STRING),
                "amount": column("amount", codecs.DECIMAL),
                "currency": column("currency", codecs.CURRENCY),
                "baseAmount": column("base_amount", codecs.DECIMAL),
            },
        )

    return declare.details(
        "LedgerPosting", build, "All of them; there is none if it only ends another.", needs=("id", "owner_id")
    )


def source_id() -> object:
    def build(who: Who, t: str, chosen: ast.Expr) -> tuple[ast.Expr, ...]:
        prefixes = tuple((ast.Text(record), ast.Text(f"{prefix}_")) for record, prefix in PREFIXES.items())
        prefix = ast.Switch(ast.Col(t, "source_type"), prefixes)
        return (ast.Op(prefix, "||", codecs.hex_digits(ast.Col(t, "source_id"))),)

    doc = "The id of what it is about; null for what is no record."
    return declare.derived(build, codecs.ANY_ID, doc, nullable=True, needs=("source_id", "source_type"))


def other(column: str, doc: str) -> object:
    def build(who: Who, t: str, chosen: ast.Expr) -> tuple[ast.Expr, ...]:
        id = ast.Op(ast.Text(f"{PREFIXES['LedgerEntry']}_"), "||", codecs.hex_digits(ast.Col(t, column)))
        return (ast.Case(ast.IsNull(ast.Col(t, column), negated=True), id),)

    return declare.derived(build, codecs.ANY_ID, doc, nullable=True, needs=(column,))
