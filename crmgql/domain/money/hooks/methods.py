"""Providers' words for how somebody paid, as our methods. Pure."""

from __future__ import annotations

from crmgql.models import PaymentMethod

CARDS = "card card_present visa mc amex diners discover jcb cup maestro bcmc cartebancaire elo hipercard"
WALLETS = "alipay wechat_pay wechatpay paypal applepay googlepay klarna link cashapp revolut_pay grabpay gcash twint swish vipps mobilepay"
TRANSFERS = "customer_balance bank_transfer bankTransfer_IBAN ideal bancontact eps giropay p24 sofort fpx blik onlineBanking_PL trustly pix"
DEBITS = "sepa_debit sepadirectdebit us_bank_account ach ach_debit ach_credit_transfer bacs_debit directdebit_GB au_becs_debit acss_debit"
VOUCHERS = "konbini oxxo multibanco econtext_stores"
METHODS = {
    **dict.fromkeys(CARDS.split(), PaymentMethod.CREDIT_CARD),
    **dict.fromkeys(WALLETS.split(), PaymentMethod.WALLET),
    **dict.fromkeys(TRANSFERS.split(), PaymentMethod.BANK_TRANSFER),
    **dict.fromkeys(DEBITS.split(), PaymentMethod.DIRECT_DEBIT),
    **dict.fromkeys(VOUCHERS.split(), PaymentMethod.VOUCHER),
    "boleto": PaymentMethod.BOLETO,
    "boletobancario": PaymentMethod.BOLETO,
}


def of(provider: str, word: str | None, default: str) -> str:
    """Our method for a provider's word; the account's own one where there is none, or it is not known here."""
    if provider in ("alipay", "wechat"):  # whose words say where the button was
        return PaymentMethod.WALLET.value
    known = METHODS.get(word or "")
    return default if known is None else known.value
