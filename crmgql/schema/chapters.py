"""The chapters of the API. Each is a folder with `types` (records), `fields` (computed root fields) and `mutations`, if it has
them, and other modules; importing them declares their contents."""

import pkgutil
from importlib import import_module

CHAPTERS = (
    "catalog",
    "compensation",
    "customers",
    "activities",
    "events",
    "jobs",
    "leads",
    "marketing",
    "messages",
    "opportunities",
    "settings",
    "sales",
    "money",
    "payroll",
    "people",
    "pools",
    "routing",
    "streams",
    "webhooks",
)
PARTS = ("types", "fields", "mutations")


def load() -> None:
    """Imports every module of every chapter: all `types`, then all `fields` and `mutations`, then the others."""
    found = {chapter: _modules(chapter) for chapter in CHAPTERS}
    for part in PARTS:
        for chapter in CHAPTERS:
            if part in found[chapter]:
                import_module(f"crmgql.schema.{chapter}.{part}")
    for chapter, modules in found.items():
        for module in modules:
            import_module(f"crmgql.schema.{chapter}.{module}")


def _modules(chapter: str) -> list[str]:
    package = import_module(f"crmgql.schema.{chapter}")
    return [module.name for module in pkgutil.iter_modules(package.__path__)]
