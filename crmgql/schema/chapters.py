"""The chapters of the API. Each is a folder with `types` (records), `fields` (what verbs work out) and `mutations`, as
far as it has them; importing them is what declares."""

from importlib import import_module, util

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
    "people",
    "pools",
    "routing",
)
PARTS = ("types", "fields", "mutations")


def load() -> None:
    """Imports every part of every chapter."""
    for part in PARTS:
        for chapter in CHAPTERS:
            module = f"crmgql.schema.{chapter}.{part}"
            if util.find_spec(module) is not None:
                import_module(module)
