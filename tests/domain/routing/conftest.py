from __future__ import annotations

import asyncpg
import pytest

from crmgql import db
from tests.domain.routing.company import Firm


@pytest.fixture
def firm(crm: db.Database, database: asyncpg.Connection) -> Firm:
    """A company without rules, sellers and leads."""
    return Firm(crm, database)
