"""Settings of the whole company."""

from crmgql.events.declarations import Kind

KINDS = (
    Kind("company.updated", "Company", "The company's settings changed."),
    Kind("businessCalendar.created", "BusinessCalendar", "A calendar of working days was made."),
    Kind("businessCalendar.updated", "BusinessCalendar", "A calendar of working days changed."),
)
