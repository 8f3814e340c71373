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
    recognition = column(
        enum=models.Recognition,
        doc="When what is sold of it becomes revenue. A change does not change what is booked.",
    )
    recognition_months = column(doc="Over how many months from the confirmation, where it is OVER_TIME.")
    counts_as_revenue = column(doc="Whether reports of revenue count it.")
    order_lines = many("OrderLine", "product")
    opportunities = many("Opportunity", "product")
