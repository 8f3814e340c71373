"""nginx with the configuration that docs/howto/share-polls.md gives, and no other: only where it listens, where it keeps its files and
whom it asks are this machine's.

If nginx is not installed, Debian's package is unpacked beside the other data of measurements; nothing is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import processes
from bench.feed import company
from bench.processes import Server

HOWTO = processes.ROOT / "docs" / "howto" / "share-polls.md"
UNPACKED = processes.ROOT / ".crmgql" / "bench" / "nginx"
CONNECTIONS = 16_000
MAIN = """
daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile {files};
pid {home}/pid;
error_log {home}/errors.log warn;
events {{ worker_connections {connections}; }}
http {{
access_log off;
keepalive_requests 1000000;
client_body_temp_path {home}/body;
proxy_temp_path {home}/proxy;
fastcgi_temp_path {home}/fastcgi;
uwsgi_temp_path {home}/uwsgi;
scgi_temp_path {home}/scgi;
{howto}
}}
"""


@contextmanager
def before(api_port: int) -> Iterator[Server]:
    """nginx in front of the API."""
    with tempfile.TemporaryDirectory(prefix="crmgql-nginx-") as home:
        port = processes.free_port()
        path = Path(home, "nginx.conf")
        path.write_text(_configuration(home, port, api_port), encoding="utf-8")
        command = [str(_program()), "-p", home, "-e", f"{home}/errors.log", "-c", str(path)]
        try:
            with processes.running("nginx", command, port, {}, company.log("feed-nginx")) as server:
                yield server
        finally:
            shutil.copyfile(f"{home}/errors.log", company.log("feed-nginx-errors"))


def _configuration(home: str, port: int, api_port: int) -> str:
    found = re.search(r"^```nginx\n(.*?)^```", HOWTO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if found is None:
        raise RuntimeError(f"{HOWTO.name} has no configuration of nginx")
    howto = found[1]
    for theirs, ours in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} backlog=4096;"),
        ("127.0.0.1:8000", f"127.0.0.1:{api_port}"),
        ("/var/cache/nginx", f"{home}/cache"),
    ):
        if theirs not in howto:
            raise RuntimeError(f"{HOWTO.name} says nothing of {theirs!r} any more")
        howto = howto.replace(theirs, ours)
    Path(home, "cache").mkdir()
    return MAIN.format(home=home, howto=howto, connections=CONNECTIONS, files=CONNECTIONS + 2000)


def _program() -> Path:
    installed = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if installed is not None:
        return Path(installed)
    program = UNPACKED / "usr" / "sbin" / "nginx"
    if not program.exists():
        UNPACKED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["apt-get", "download", "-q", "nginx"], cwd=folder, check=True, capture_output=True)
            (package,) = Path(folder).glob("nginx_*.deb")
            subprocess.run(["dpkg", "-x", str(package), str(UNPACKED)], check=True)
    return program
