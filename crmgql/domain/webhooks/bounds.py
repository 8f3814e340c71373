"""How far the webhooks of this process go: to what is public, and to the networks that its settings allow besides.

Here URLs are refused whose host is an address beyond that, when they are registered. Whatever a name leads to is judged at each
connection, below in `outbound`.
"""

from __future__ import annotations

from crmgql.outbound import targets
from crmgql.outbound.targets import Reach, Target


class Bounds:
    """Of one process, which says at its start what its settings allow; until then nothing besides what is public."""

    def __init__(self) -> None:
        self.reach = Reach()

    def use(self, networks: str) -> None:
        """`networks` as in `CRMGQL_WEBHOOK_NETWORKS`. Raises `SetupError`."""
        self.reach = Reach(targets.networks(networks))

    def target(self, url: str) -> Target:
        """Where a URL leads. Raises `BadUserInput`, and `AddressRefused` for an address that is out of bounds."""
        found = targets.target(url)
        self.reach.check(found)
        return found


BOUNDS = Bounds()
