"""Many products at once."""

from __future__ import annotations

from collections.abc import Sequence

from crmgql import access
from crmgql.domain.catalog.products import MOVES
from crmgql.models import Product
from crmgql.records.bulk import Writer
from crmgql.records.records import Act


class _Products(Writer):
    def demand(self, act: Act, columns: Sequence[str]) -> None:
        if "cost_amount" in columns:
            access.require(act.viewer, "cost.write", "Changing cost", field="cost")


products = _Products(Product, "product.created", "product.updated", by_status=MOVES.events)
