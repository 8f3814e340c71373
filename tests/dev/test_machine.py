"""What a newcomer does: start it, ask it, stop it, start it again. Real processes, real Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from crmgql.cli import commands, imports
from crmgql.config import Settings
from crmgql.dev import machine, welcome
from crmgql.imports.reports import Report, StepReport

QUERY = """{ customers(first: 1, orderBy: [{field: CREATED_AT, direction: DESC}]) { nodes { id name
orders(first: 5) { nodes { id number total { amount currency } payments(first: 5) { nodes { id amount { amount currency }
commissions(first: 5) { nodes { id amount { amount currency } seller { id name } } } } } } } } } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_dev(data_dir: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "CRMGQL_DATA_DIR": str(data_dir), "CRMGQL_PORT": str(port)}
    environment.pop("CRMGQL_DATABASE_URL", None)
    environment.pop("CRMGQL_REDIS_URL", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "crmgql", "dev"],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(90)


def wait_for(log: Path, text: str, process: subprocess.Popen[bytes], seconds: float = 240) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        told = log.read_text("utf-8", "replace")
        if text in told:
            return told
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"“{text}” did not appear:\n{log.read_text('utf-8', 'replace')}")


def ask(port: int, token: str, query: str) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def processes_of(data_dir: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(data_dir).encode() in told and int(entry.name) != os.getpid():
                found.append((entry / "cmdline").read_bytes().decode("utf-8", "replace"))
    return found


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(90)


def test_it_starts_answers_stops_and_keeps_its_data(tmp_path: Path) -> None:
    data_dir, port, log = tmp_path / "data", free_port(), tmp_path / "log"
    began = time.monotonic()
    with running_dev(data_dir, port, log) as process:
        told = wait_for(log, "Ctrl-C stops everything", process)
        first_s = time.monotonic() - began
        token = re.search(r"^(eyJ[\w.-]+)$", told, re.M)[1]
        first = ask(port, token, QUERY)
        customer = first["data"]["customers"]["nodes"][0]
        assert len(customer["orders"]["nodes"]) == 5
        assert customer["orders"]["nodes"][0]["payments"]["nodes"][0]["commissions"]["nodes"][0]["seller"]["name"]
        logged = [line for line in log.read_text("utf-8").splitlines() if '"event":"query"' in line]
        assert json.loads(logged[-1])["statements"] == 1
        assert json.loads(logged[-1])["sql"].startswith("WITH")
        assert stop(process) == 0
    assert processes_of(data_dir) == []
    began = time.monotonic()
    with running_dev(data_dir, port, log) as process:
        told = wait_for(log, "Ctrl-C stops everything", process)
        assert time.monotonic() - began < max(20, first_s)
        assert "Demo company" not in told
        assert ask(port, token, QUERY)["data"] == first["data"]  # the old token is still good, the data still there
        assert stop(process) == 0
    assert processes_of(data_dir) == []


def test_the_death_of_a_database_ends_it_in_a_line(tmp_path: Path) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    with running_dev(data_dir, free_port(), log) as process:
        wait_for(log, "Ctrl-C stops everything", process)
        os.kill(int((data_dir / "valkey" / "valkey.pid").read_text()), signal.SIGKILL)
        assert process.wait(90) == 1
    assert "The embedded valkey ended (signal 9, log: " in log.read_text("utf-8")
    assert processes_of(data_dir) == []


def test_a_note_of_the_dead_is_not_believed(tmp_path: Path) -> None:
    note = {"pid": os.getpid(), "database_url": f"postgresql://postgres:@/crmgql?host={tmp_path}"}
    (tmp_path / "running.json").write_text(json.dumps(note))
    settings = Settings(data_dir=tmp_path)
    assert machine.running_database(settings) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".s.PGSQL.5432"))
        server.listen()
        assert machine.running_database(settings) == note["database_url"]


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80")],
)
def test_the_address_can_be_called(host: str, wanted: str) -> None:
    assert welcome.base(Settings(host=host, port=80)) == wanted


def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        log = tmp_path / "log"
        with running_dev(tmp_path / "data", port, log) as process:
            assert process.wait(90) == 1
    told = log.read_text("utf-8")
    assert str(port) in told
    assert "CRMGQL_PORT" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("CRMGQL_PORT", "many", "CRMGQL_PORT"), ("CRMGQL_LOG_LEVEL", "loud", "CRMGQL_LOG_LEVEL")],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, name: str, value: str, wanted: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "crmgql", "migrate"],
        env={**os.environ, name: value, "CRMGQL_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert outcome.returncode == 1
    assert wanted in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (
            asyncpg.UndefinedTableError('relation "users" does not exist'),
            "The database is empty or of an older version: run “crmgql migrate”.",
        ),
        (asyncpg.DiskFullError("could not extend file\nCheck free disk space."), "PostgreSQL: could not extend file"),
        (PermissionError(13, "Permission denied", "schema.graphql"), "[Errno 13] Permission denied: 'schema.graphql'"),
    ],
)
def test_what_a_server_or_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, wanted: str
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(commands, "app", refuse)
    with pytest.raises(SystemExit, match="1"):
        commands.main()
    assert capsys.readouterr().err == f"crmgql: {wanted}\n"


def test_an_import_tells_its_counts_in_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    step = StepReport("customers", "customers", read=1_234_567, inserted=1_234_000, updated=560, skipped=7)
    imports.print_report(Report("shop", False, tmp_path / "rejects.csv", [step]), dry_run=False)
    told = capsys.readouterr().out
    assert told.split()[1:7] == ["step", "read", "inserted", "updated", "skipped", "rejected"]
    assert "1,234,567" in told
    assert max(map(len, told.splitlines())) <= 80


def test_help_names_every_command() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "crmgql", "--help"], capture_output=True, text=True, timeout=240, check=True
    )
    for command in ("dev", "serve", "worker", "migrate", "demo", "import", "schema", "token", "bench"):
        assert f"  {command} " in outcome.stdout
