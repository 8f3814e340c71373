"""Tortoise models: shape only. The models and enums of every chapter are found here, too; a new one needs no line."""

from crmgql.models import base
from crmgql.models.activities import *
from crmgql.models.bank import *
from crmgql.models.catalog import *
from crmgql.models.compensation import *
from crmgql.models.contracts import *
from crmgql.models.customers import *
from crmgql.models.dunning import *
from crmgql.models.events import *
from crmgql.models.imports import *
from crmgql.models.invoices import *
from crmgql.models.jobs import *
from crmgql.models.leads import *
from crmgql.models.ledger import *
from crmgql.models.marketing import *
from crmgql.models.messages import *
from crmgql.models.money import *
from crmgql.models.opportunities import *
from crmgql.models.payroll import *
from crmgql.models.people import *
from crmgql.models.plans import *
from crmgql.models.pools import *
from crmgql.models.providers import *
from crmgql.models.reconciliation import *
from crmgql.models.records import *
from crmgql.models.refunds import *
from crmgql.models.routing import *
from crmgql.models.sales import *
from crmgql.models.settings import *
from crmgql.models.streams import *
from crmgql.models.webhooks import *

__all__ = [
    name
    for name, value in sorted(vars().items())
    if isinstance(value, type) and value.__module__.startswith(f"{__name__}.") and value.__module__ != base.__name__
]
