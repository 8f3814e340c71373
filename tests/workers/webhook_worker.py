"""A worker process that sends webhooks under leases of a second, for the crash test: `python -m tests.workers.webhook_worker`."""

from __future__ import annotations

from datetime import timedelta

from crmgql import config, logs
from crmgql.domain.webhooks import dispatching, retries
from crmgql.workers import couriers, dispatcher, runner, upkeep


def main() -> None:
    dispatching.LEASE = timedelta(seconds=1.5)
    couriers.LEASE_S, couriers.IDLE_S = 1.5, 0.3
    dispatcher.SPACING_S = upkeep.LOOK_S = 0.2
    retries.FIRST_S = 0.2
    settings = config.settings()
    logs.set_up(settings)
    runner.run(settings)


if __name__ == "__main__":
    main()
