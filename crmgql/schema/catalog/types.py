"""Products."""

from crmgql import models
from crmgql.engine.declare import column, many, money, node
from crmgql.schema.customers import aggregates


@node(models.Product)
class Product:
    """A product that the company sells."""

    sku = column()
    name = column(sort=True)
    category = column(sort=True)
    description = column()
    status = column(enum=models.ProductStatus)
    specs = column(doc="Specifications, as the company defines them.")
    price = money()
    cost = money(doc="Seen by finance, managers and administrators.")
    margin = aggregates.product_margin()
    order_lines = many("OrderLine", "product")
    opportunities = many("Opportunity", "product")
