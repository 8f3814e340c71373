"""The fixtures of the books, for commissions."""

from tests.ledger.conftest import customer, database

__all__ = ["customer", "database"]
