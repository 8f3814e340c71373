"""How a currency is written, how many decimals it has by ISO 4217, and how large an amount may be. Pure.

The database's `currency_scale` says the same.
"""

from __future__ import annotations

import re
from decimal import Decimal

LIMIT = Decimal(10) ** 15
CODE = re.compile("[A-Z]{3}")
NO_DECIMALS = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
THREE_DECIMALS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def is_code(text: str) -> bool:
    """Whether it is written as a currency is."""
    return CODE.fullmatch(text) is not None


def scale(currency: str) -> int:
    """Digits after the decimal point of a currency."""
    return 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
