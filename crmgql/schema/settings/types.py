"""The company's settings, and calendars."""

from crmgql import models
from crmgql.engine.declare import column, node


@node(models.Company, order="name", only=True)
class Company:
    """The company: its time zone, its fiscal year, and defaults for forms. There is one."""

    name = column()
    timezone = column(doc="An IANA name. Days are this zone's: closing dates, campaigns, daily limits, reports.")
    first_day_of_week = column(doc="1 (Monday) to 7.")
    fiscal_year_start_month = column(doc="1 to 12.")
    fiscal_year_start_day = column(doc="A day that the month has in every year.")
    default_currency = column(doc="The default in forms.")
    locale = column(doc="How numbers and dates are written, such as de-DE.")
    address = column(filter=False, doc="As it is printed on invoices, with line breaks.")
    tax_id = column()
    write_off_tolerances = column(
        doc='By currency: up to which amount what is left open of an order or invoice is written off by itself, such as {"EUR": "0.01"}.'
    )
    payment_terms = column(doc="Of customers without their own, such as NET 30.")
    low_margin_percent = column(
        doc="Of an order whose margin is less, in percent of its net amount, finance is told; null: of none."
    )
    payout_days = column(doc="How many days after its day a payout may reach the bank before finance is told: 0 to 90.")
    revenue_statuses = column(enum=models.OrderStatus, doc="The statuses in which reports of revenue count an order.")


@node(models.BusinessCalendar, order="name")
class BusinessCalendar:
    """A calendar of the days that count towards alerts."""

    name = column(sort=True)
    timezone = column()
    working_days = column()
    holidays = column()
