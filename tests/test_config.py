"""Settings: a wrong one is a line that an operator can mend, and may be logged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crmgql import config
from crmgql.errors import SetupError


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "shown", "right"),
    [
        ("DATABASE_URL", "mysql://crm:hunter2@db/crm", "mysql://***@db/crm", "postgresql://user:password@host"),
        ("DATABASE_URL", "pg:crm:hunter2@db", "pg:***@db", "postgresql://user:password@host"),
        ("DATABASE_URL", "postgresql://crm:hunter2@db:x/crm", "postgresql://***@db:x/crm", "postgresql://user"),
        ("READ_DATABASE_URL", "pg://db?user=a&password=hunter2", "pg://db?user=a&password=***", "postgresql://user"),
        ("REDIS_URL", "http://:hunt@er2@valkey", "http://***@valkey", "redis://user:password@host"),
        ("SMTP_URL", "smtp://u:hunter2@mail:99999", "smtp://***@mail:99999", "smtp://user:password@host:587"),
        ("SMTP_URL", "mail.example.com", "mail.example.com", "smtp://user:password@host:587"),
        ("PORT", "http", "http", "integer"),
        ("MAIL_FROM", "crm", "crm", "crm@example.com"),
    ],
)
def test_a_wrong_setting_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: str, right: str
) -> None:
    monkeypatch.setenv(f"CRMGQL_{name}", value)
    with pytest.raises(SetupError) as caught:
        config.checked()
    assert caught.value.message.startswith(f"CRMGQL_{name} is set to {shown!r}: ")
    assert right in caught.value.message
    assert "hunt" not in caught.value.message
