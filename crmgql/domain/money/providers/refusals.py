"""Why a provider's post is refused. Each has a code of docs/reference/errors.md; no message holds a secret or a signature."""

from __future__ import annotations

from crmgql.errors import CrmError


class ProviderUnknown(CrmError):
    """No provider of this name."""

    code = "PROVIDER_UNKNOWN"
    final = True


class SignatureMissing(CrmError):
    """Nothing is signed: a header or a field is not there."""

    code = "PROVIDER_SIGNATURE_MISSING"
    final = True


class SignatureWrong(CrmError):
    """None of our keys makes this signature of this body."""

    code = "PROVIDER_SIGNATURE_WRONG"
    final = True


class SignatureOld(CrmError):
    """Signed too long ago, or too far in the future: somebody may be sending it again."""

    code = "PROVIDER_SIGNATURE_OLD"
    final = True


class KeyUnknown(CrmError):
    """Signed with a key whose id nobody told us: the provider has a new one, or it is not the provider."""

    code = "PROVIDER_KEY_UNKNOWN"
    final = True


class BodyInvalid(CrmError):
    """Not what the provider documents."""

    code = "PROVIDER_BODY_INVALID"
    final = True


class BodyTooLarge(CrmError):
    code = "PAYLOAD_TOO_LARGE"
    final = True


class ContentSealed(CrmError):
    """No key opens the encrypted content. A job may try again: somebody has to add the key."""

    code = "PROVIDER_CONTENT_SEALED"
