"""An installation whose parts can be killed: API and worker processes, Valkey, the integrator, each by its own id.

PostgreSQL is the tests' own; killing it is what `tests/http/test_trouble.py` does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from crmgql.dev import embedded, supervise
from tests import processes
from tests.http.conftest import COMFORT, SECRET, free_port

ROOT = Path(__file__).resolve().parents[2]
INTEGRATOR = ROOT / "examples" / "integrator" / "integrator.py"


class Valkey:
    """A server on a port of its own, which forgets everything when it is killed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self.home), "save": "", "appendonly": "no"}
        argv = [str(embedded.VALKEY_PATHS[0]), *(part for name in settings for part in (f"--{name}", settings[name]))]
        with (self.home / "valkey.log").open("ab") as log:
            self.process = subprocess.Popen(
                argv, stdout=log, stderr=log, preexec_fn=supervise.die_with_parent(signal.SIGKILL)
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Api:
    """An API server at one address, whoever serves there at the moment."""

    port: int
    environment: dict[str, str]
    log: Path
    process: processes.Process = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = processes.crmgql("serve", environment=self.environment, log=self.log)

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        await self.process.ended()

    async def ready(self, *, patience_s: float = 120) -> None:
        async with asyncio.timeout(patience_s), httpx.AsyncClient(verify=False) as http:
            while True:
                try:
                    if (await http.get(f"{self.url}/healthz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                if self.process.poll() is not None:  # the killed one's port was not free yet
                    self.start()
                await asyncio.sleep(0.05)


class Installation:
    """`apis` and `workers` run from the beginning; so does Valkey."""

    def __init__(self, database_url: str, home: Path, *, apis: int = 1, workers: int = 1, **settings: str) -> None:
        self.home = home
        self.valkey = Valkey(home)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRMGQL_")}
        self.environment = {
            **inherited,
            **COMFORT,
            "CRMGQL_DATABASE_URL": database_url,
            "CRMGQL_REDIS_URL": self.valkey.url,
            "CRMGQL_DATA_DIR": str(home),
            "CRMGQL_SECRET_KEY": SECRET,
            "CRMGQL_POOL_SIZE": "2",
            "CRMGQL_LOG_FORMAT": "json",
            "CRMGQL_LOG_LEVEL": "warning",
            "CRMGQL_HEARTBEAT_S": "1",
            **settings,
        }
        self.apis = [self._api(number) for number in range(apis)]
        self.workers = [self.worker() for _ in range(workers)]
        self.integrators: list[Integrator] = []

    def _api(self, number: int) -> Api:
        port = free_port()
        return Api(port, {**self.environment, "CRMGQL_PORT": str(port)}, self.home / f"api{number}.log")

    def worker(self) -> processes.Process:
        return processes.crmgql("worker", environment=self.environment, log=self.home / "worker.log")

    async def ready(self) -> Installation:
        for api in self.apis:
            await api.ready()
        return self

    def integrator(self, key: str, name: str = "copy.db") -> Integrator:
        self.integrators.append(Integrator(self.home / name, self.apis[-1].url, key))
        return self.integrators[-1]

    def close(self) -> None:
        for each in [api.process for api in self.apis] + self.workers:
            each.send_signal(signal.SIGCONT)  # it may stand still if the test has failed
            each.terminate()
        for integrator in self.integrators:
            integrator.kill()
        self.valkey.kill()
        for each in [api.process for api in self.apis] + self.workers:
            try:
                each.wait(20)
            except subprocess.TimeoutExpired:
                each.kill()


@dataclass
class Integrator:
    """The example as its users run it."""

    file: Path
    url: str
    key: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Integrator:
        self.process = self._run()
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def is_equal(self) -> bool:
        """What `--check` says."""
        return await asyncio.to_thread(self._run("--check").wait, 120) == 0

    @property
    def log(self) -> str:
        return self.file.with_suffix(".log").read_text()

    def _run(self, *options: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "CRMGQL_URL": self.url, "CRMGQL_KEY": self.key}
        with self.file.with_suffix(".log").open("ab") as log:
            words = [sys.executable, str(INTEGRATOR), str(self.file), *options]
            return subprocess.Popen(words, env=environment, stdout=log, stderr=log)


@contextmanager
def installed(
    database_url: str, home: Path, *, apis: int = 1, workers: int = 1, **settings: str
) -> Iterator[Installation]:
    with ExitStack() as stack:
        made = Installation(database_url, home, apis=apis, workers=workers, **settings)
        stack.callback(made.close)
        yield made
