"""The key that signs access tokens, when the operator sets none: made once, kept in the data directory.

Always holds: every process of a data directory gets the same key, however many start at once, and never half of one.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from crmgql.config import Settings
from crmgql.errors import SetupError

FILE = "secret"
BYTES = 32


def secret(settings: Settings) -> str:
    """`CRMGQL_SECRET_KEY`, or the data directory's own. Raises `SetupError`."""
    if settings.secret_key is not None:
        given = settings.secret_key.get_secret_value()
        if len(given.encode()) < BYTES:
            raise SetupError(
                f"CRMGQL_SECRET_KEY is too short; it needs {BYTES} bytes or more, such as openssl rand -hex 32."
            )
        return given
    path = settings.data_dir / FILE
    try:
        found = _read(path)
        if found is None:
            _make(path)
            found = _read(path)
    except OSError as error:
        raise SetupError(f"{path} can't be read or made ({error.strerror}); set CRMGQL_SECRET_KEY.") from None
    if found is None or len(found) < BYTES:
        raise SetupError(f"{path} is damaged; delete it (everybody must log in again) or set CRMGQL_SECRET_KEY.")
    return found


def known(settings: Settings) -> str | None:
    """The same without making one: None where none is set and none was made. Raises `SetupError`."""
    if settings.secret_key is None and not (settings.data_dir / FILE).exists():
        return None
    return secret(settings)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None


def _make(path: Path) -> None:
    """A link appears whole and only if nobody was faster; a file that is opened and then written does neither."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)  # readable by us alone
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(name)
