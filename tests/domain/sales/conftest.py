"""The fixtures of the books."""

from tests.ledger.conftest import customer

__all__ = ["customer"]
