"""What holds for the whole company: calendars."""

from crmgql import models
from crmgql.engine.declare import column, node


@node(models.BusinessCalendar, prefix="cal", order="name")
class BusinessCalendar:
    """Days that count."""

    name = column(sort=True)
    timezone = column()
    working_days = column()
    holidays = column()
