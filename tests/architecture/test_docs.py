"""The reference pages say what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crmgql import errors
from crmgql.config import Settings
from crmgql.engine import errors as schema_errors
from crmgql.events import guarantees

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
TESTS = ROOT / "tests"


def test_every_setting_is_listed_with_what_it_does() -> None:
    page = (REFERENCE / "settings.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `(CRMGQL_\w+)`", page, re.M))
    assert listed == {f"CRMGQL_{name.upper()}" for name in Settings.model_fields}
    for field in Settings.model_fields.values():
        assert field.description
        assert field.description in page


def test_only_config_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "crmgql").rglob("*.py")
        if re.search(r"os\.(environ\b(?!,)|getenv)", path.read_text("utf-8")) and path.name not in ("config.py",)
    ]
    # These two hand their own environment on to their children.
    assert set(readers) <= {"crmgql/dev/machine.py", "crmgql/dev/embedded.py", "crmgql/dev/processes.py"}


def test_every_error_code_is_documented() -> None:
    page = (REFERENCE / "errors.md").read_text("utf-8")
    codes = {kind.code for kind in _kinds(errors.CrmError)} | set(schema_errors.STATUS)
    for path in (ROOT / "crmgql").rglob("*.py"):
        codes |= set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', path.read_text("utf-8"))) & KNOWN_BY_TEXT
    assert {code for code in codes if f"`{code}`" not in page} == set()


KNOWN_BY_TEXT = {
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "BAD_REQUEST",
    "BATCH_TOO_LARGE",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "NOT_ACCEPTABLE",
    "METHOD_NOT_ALLOWED",
}


def _kinds(kind: type[errors.CrmError]) -> set[type[errors.CrmError]]:
    ours = [each for each in kind.__subclasses__() if each.__module__.startswith("crmgql.")]
    return {kind}.union(*(_kinds(each) for each in ours))


@pytest.mark.parametrize("guarantee", guarantees.GUARANTEES, ids=lambda each: each.test.rpartition("::")[2])
def test_each_guarantee_has_its_test(guarantee: guarantees.Guarantee) -> None:
    path, _, name = guarantee.test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (TESTS / path).read_text("utf-8"), re.MULTILINE)
