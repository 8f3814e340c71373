"""What a provider says happened, in the words that all providers share.

Enters: nothing; these are the types of the edge. Leaves: `Fact`, `Account`, `Provider`. Pure: no clock, no network, no database.
Always holds: amounts are exact, in the scale of their currency; times are in UTC; a fact that the provider marks as
not successful moves no money.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Protocol

Headers = Mapping[str, str]


class Kind(StrEnum):
    """What happened. The order within a family goes from its beginning to its end."""

    PAYMENT_EXPECTED = "PAYMENT_EXPECTED"
    PAYMENT_AUTHORISED = "PAYMENT_AUTHORISED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    PAYMENT_SUCCEEDED = "PAYMENT_SUCCEEDED"
    REFUND_REQUESTED = "REFUND_REQUESTED"
    REFUND_FAILED = "REFUND_FAILED"
    REFUND_SUCCEEDED = "REFUND_SUCCEEDED"
    DISPUTE_OPENED = "DISPUTE_OPENED"
    DISPUTE_WON = "DISPUTE_WON"
    DISPUTE_LOST = "DISPUTE_LOST"
    FEE = "FEE"
    PAYOUT_EXPECTED = "PAYOUT_EXPECTED"
    PAYOUT_FAILED = "PAYOUT_FAILED"
    PAYOUT_PAID = "PAYOUT_PAID"
    NOTED = "NOTED"
    """Known, and moves no money: what does is told by another event."""
    UNKNOWN = "UNKNOWN"
    """Not in our table, or of an account that is not ours: kept and counted."""

    @property
    def family(self) -> str:
        """PAYMENT, REFUND, DISPUTE, FEE, PAYOUT, NOTED or UNKNOWN."""
        return self.value.partition("_")[0]


class Rank(IntEnum):
    """How far its subject has come. A higher rank is never undone by a lower one, whenever that arrives."""

    ANNOUNCED = 10
    MOVING = 20
    """Being tried. An attempt that failed is no end: another may follow."""
    HELD = 30
    """Authorised; of a dispute: the money was taken and nothing is decided."""
    ENDED = 40
    """Ended without money: cancelled, expired, refused."""
    DONE = 50
    REVERSED = 60
    """After it was done: a capture or refund that failed in the end, a second chargeback."""
    LAST = 70
    """Nothing can follow: decided by the card scheme."""


MOVING_MONEY = frozenset(
    [
        Kind.PAYMENT_SUCCEEDED,
        Kind.REFUND_SUCCEEDED,
        Kind.DISPUTE_OPENED,
        Kind.DISPUTE_WON,
        Kind.DISPUTE_LOST,
        Kind.FEE,
        Kind.PAYOUT_PAID,
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened to one payment or payout."""

    provider: str
    event_id: str
    """The same whenever the provider sends this fact again, and no other fact's."""
    kind: Kind
    raw_kind: str
    """The provider's own word for it."""
    occurred_at: datetime
    rank: Rank = Rank.ANNOUNCED
    success: bool = True
    """What the provider says of it. False: it did not happen, whatever the kind."""
    live: bool = True
    """False: of the provider's test mode."""
    reference: str | None = None
    """The payment's, the same in all its facts; a payout's own. None where the provider names the part alone."""
    also: tuple[str, ...] = ()
    """Other references of the same payment: a later fact may know only one of them."""
    part: str | None = None
    """The provider's reference of the refund, dispute, capture or fee that this is about. None: the payment as a whole."""
    key: str | None = None
    """What *we* called the refund or capture when we asked for it."""
    order: str | None = None
    """What the merchant called the order."""
    amount: Decimal | None = None
    """0 or more; less than 0 only of a fee that is given back, and of a payout that the provider takes."""
    currency: str | None = None
    cumulative: bool = False
    """The amount is all that was refunded of the payment so far, not this refund's."""
    method: str | None = None

    @property
    def moves_money(self) -> bool:
        return self.success and self.kind in MOVING_MONEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What we know of ourselves at a provider. Several secrets or keys: those that are being rotated are all taken."""

    ids: frozenset[str] = frozenset()
    """Who we are there (docs/reference/payment-providers.md); facts of others are UNKNOWN."""
    shared: tuple[str, ...] = field(default=(), repr=False)
    """Secrets that both sides know."""
    public_keys: Mapping[str, str] = field(default_factory=dict)
    """The provider's, by the id that its requests name: PEM of a key or certificate, or base64 of a key."""
    captured_at_once: bool = False
    """The provider takes authorised money by itself, and does not tell of it again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The provider's word of acceptance: anything else, and it sends the post again."""

    status: int
    body: bytes = b""
    content_type: str | None = None


class Verify(Protocol):
    def __call__(self, headers: Headers, body: bytes, account: Account, *, now: datetime) -> None: ...


class Read(Protocol):
    def __call__(self, body: bytes, account: Account) -> list[Fact]: ...


class Check(Protocol):
    def __call__(self, account: Account) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """All that differs between providers."""

    name: str
    verify: Verify
    """None if the provider sent exactly this body; raises a refusal of `refusals`. Takes the body as it came."""
    read: Read
    """The facts in a body that was verified. Raises `BodyInvalid`, `BodyTooLarge`, `ContentSealed`."""
    check: Check
    """Raises `SetupError` for an account with which nothing can be verified. For the start, not for requests."""
    accepted: Answer
