"""What payment providers post to us: verified, and read into facts that look alike. Pure.

A new provider is a module with a table of its events and a `Provider` at its end, and a line below.
"""

from __future__ import annotations

from crmgql.domain.money.providers import adyen, alipay, stripe, wechat
from crmgql.domain.money.providers.facts import Provider
from crmgql.domain.money.providers.refusals import ProviderUnknown

PROVIDERS = {each.name: each for each in (stripe.PROVIDER, adyen.PROVIDER, alipay.PROVIDER, wechat.PROVIDER)}


def get(name: str) -> Provider:
    """Raises `ProviderUnknown`."""
    if name not in PROVIDERS:
        raise ProviderUnknown(f"No such provider; there are {', '.join(sorted(PROVIDERS))}.")
    return PROVIDERS[name]
