"""Python's garbage collector leaves out what stays for good: modules, models, the schema.

It would look through all of them again and again while they are made, which is a fifth of a start, and now and then later,
while everybody waits for a tenth of a second.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_out() -> Iterator[None]:
    """What is made while the context is open is not looked through, then or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_out() -> None:
    """Looks through what is there once, and never again."""
    gc.collect()
    gc.freeze()
