"""Mutations of products."""

from __future__ import annotations

from crmgql.domain.catalog import products
from crmgql.engine import inputs, mutations
from crmgql.engine.mutations import Row

mutations.table(
    "Product",
    Row(
        "productCreate",
        "Makes a product.",
        products.create,
        input=inputs.create(
            products.FACTS,
            "status currency",
            optional="sku currency",
            doc="A draft unless its status is ACTIVE. Price and cost are in one currency; `specs` is a JSON object.",
        ),
    ),
    Row(
        "productUpdate",
        "Changes what the input names; the currency only of a product that was never ordered.",
        products.update,
        input=inputs.update(products.FACTS, "currency"),
    ),
    Row("productActivate", "Puts a draft or a retired product on sale.", products.move, "activate"),
    Row("productRetire", "Takes a product off sale: the end of its life.", products.move, "retire"),
)
