"""Migrations reach the server as everything else does."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from crmgql import db, migrate

NAME = "crm@company/1%"


async def test_a_user_whose_name_has_to_be_encoded_in_the_address(database_url: str, database: Any) -> None:
    await database.execute(f'CREATE ROLE "{NAME}" SUPERUSER LOGIN')
    try:
        url = database_url.replace("postgresql://postgres:@", f"postgresql://{quote(NAME, safe='')}:p%40ss@")
        crm = await db.connect(url, pool_size=2)
        await crm.close()
        assert await migrate.migrate(url) == []
    finally:
        await database.execute(f'DROP ROLE "{NAME}"')
