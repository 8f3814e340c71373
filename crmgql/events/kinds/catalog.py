"""Products."""

from crmgql.events.declarations import Kind

KINDS = (
    Kind("product.created", "Product", "A product was made."),
    Kind("product.updated", "Product", "A product changed, such as its price."),
    Kind("product.activated", "Product", "A product can be sold."),
    Kind("product.retired", "Product", "A product was retired."),
)
