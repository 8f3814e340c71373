"""How long a person's calculation takes."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from tests.domain.compensation.told import calculated, credit, rule, version
from tests.speed import slowness

PLAN = version(rule(1, "0.04", "5000", "0.08", "20000", "0.1"))


@pytest.mark.alone
@pytest.mark.parametrize(("count", "most_s"), [(100, 0.015), (10_000, 1.5)])
def test_a_person_is_calculated_in_time(count: int, most_s: float) -> None:
    """Sales and returns of a year, three of an order, in tiers. The best of three, of the process alone; three times what a quiet
    machine takes, so that it tells of a slower way and not of a busy one."""
    nets = [-(n * 7919 % 1000) if n % 7 == 0 else n * 7919 % 100_000 for n in range(count)]
    credits = [credit(n + 1, str(Decimal(net).scaleb(-2)), 1 + n % 360, order=n // 3) for n, net in enumerate(nets)]
    times = []
    for _ in range(3):
        started = time.process_time()
        assert len(calculated(credits, PLAN).dues) > count * 0.9
        times.append(time.process_time() - started)
    assert min(times) <= most_s * slowness()
