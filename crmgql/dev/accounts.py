"""Which user PostgreSQL runs as: it refuses to run as root.

Enters: the program, and the directory for its data. Leaves: an account, which owns that directory and becomes the user
in the new process. Always holds: nobody's directories are opened for it; what root lacks for it is a SetupError.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crmgql import errors
from crmgql.dev import processes, supervise

SYSTEM_USER = "crmgql-postgres"
CAP_DAC_OVERRIDE = 1
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
# To give the user its files, become it, signal it, and reach the socket that only it may use.
NEEDED = {"CHOWN": 0, "DAC_OVERRIDE": CAP_DAC_OVERRIDE, "KILL": 5, "SETGID": 6, "SETUID": 7}
NEEDED_TO_PASS = {"SETPCAP": 8}


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL runs as; None: we are not root, so ourselves."""

    user: pwd.struct_passwd | None
    hidden_paths: bool

    def own(self, path: Path) -> None:
        """Give the user a directory; a data volume may come from a machine where the user had another number."""
        if self.user is None or path.stat().st_uid == self.user.pw_uid:
            return
        try:
            for each in [path, *path.rglob("*")]:
                os.chown(each, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)
        except OSError as error:
            raise errors.SetupError(
                f"PostgreSQL does not run as root, and {path} can't be given to the user {self.user.pw_name} "
                f"({error.strerror}): start crmgql as an ordinary user."
            ) from None

    def before_exec(self, when_we_die: signal.Signals) -> Callable[[], None]:
        ask_kernel = supervise.die_with_parent(when_we_die)
        if self.user is None:
            return ask_kernel
        user, libc = self.user, ctypes.CDLL(None)

        def become_user() -> None:
            if self.hidden_paths:
                # Capabilities outlive the change of user, and access(2), by which initdb looks for postgres, counts them.
                libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
            os.setgroups([])
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            if self.hidden_paths:
                may = 1 << CAP_DAC_OVERRIDE
                libc.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", may, may, may, 0, 0, 0))
                libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)
            ask_kernel()  # last: a change of user takes the request back

        return become_user


def find(program: Path, data: Path) -> Account:
    """The account for the program on its data. Raises SetupError when root may not change to it."""
    if os.geteuid() != 0:
        return Account(None, hidden_paths=False)
    # In a checkout below /root the other user can't reach the programs or the data. Rather than open /root to
    # everybody, let this one process pass closed directories.
    real = program.resolve()
    paths = {real, *real.parents, *program.parents, *data.parents}
    hidden = sys.platform == "linux" and any(not path.stat().st_mode & 0o001 for path in paths)
    _check_capabilities(NEEDED | NEEDED_TO_PASS if hidden else NEEDED)
    return Account(_make_user(), hidden)


def _check_capabilities(needed: dict[str, int]) -> None:
    """Refuse a root without them, as in a container that dropped them."""
    if sys.platform != "linux":
        return
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    missing = [name for name, bit in needed.items() if not effective >> bit & 1]
    if missing:
        raise errors.SetupError(
            "PostgreSQL does not run as root, and this root can't run it as another user: the container lacks "
            f"{', '.join('CAP_' + name for name in missing)}. Start crmgql as an ordinary user, or the container with "
            + " ".join(f"--cap-add={name}" for name in missing)
            + "."
        )


def _make_user() -> pwd.struct_passwd:
    """A system user of our own, made at the first start; `nobody` where none can be made, as on a read-only system."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    for _attempt in range(20):
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        if useradd is None or not os.access("/etc", os.W_OK):
            break
        argv = [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent", SYSTEM_USER]
        if processes.run_tool(argv).returncode != 0:
            time.sleep(0.1)  # another process is making it right now
    with suppress(KeyError):
        return pwd.getpwnam("nobody")
    raise errors.SetupError("PostgreSQL does not run as root and no user can be made for it: start crmgql as a user.")
