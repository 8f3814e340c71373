"""The fixtures of the books."""

from tests.ledger.conftest import customer, database

__all__ = ["customer", "database"]
