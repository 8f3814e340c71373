"""The supervisor: real processes, real signals. Every kill is of a process that the test itself started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crmgql import errors
from crmgql.dev import supervise

# A supervisor in a process of its own: argv is stop_timeout_s, then `name|restart or standby|shell command` for each child.
SUPERVISOR = """
import sys
from crmgql.dev import supervise
children = [a.split("|", 2) for a in sys.argv[2:]]
children = [
    supervise.Child(name, ["/bin/sh", "-c", code], restart=how == "restart", standby=how == "standby",
                    settles_s=0.2 if how == "standby" else 0)
    for name, how, code in children
]
sys.exit(supervise.run(children, stop_timeout_s=float(sys.argv[1])))
"""


def launch(*children: str, stop_timeout_s: float = 20) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", SUPERVISOR, str(stop_timeout_s), *children]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(supervisor: subprocess.Popen[str], number: signal.Signals | None = None) -> tuple[int, str]:
    if number is not None:
        supervisor.send_signal(number)
    _, stderr = supervisor.communicate(timeout=60)
    return supervisor.returncode, stderr


def read_pids(path: Path, count: int = 1) -> list[int]:
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= count)
    return [int(line) for line in path.read_text().splitlines()]


def wait_until(condition: object, timeout_s: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_last_to_first_and_is_no_failure(tmp_path: Path, number: signal.Signals) -> None:
    said = tmp_path / "said"

    def child(name: str) -> str:
        trap = f"trap 'echo {name} >> {said}; exit 0' TERM"
        return f"{name}||{trap}; echo $$ >> {tmp_path}/{name}; while :; do sleep 0.05; done"

    supervisor = launch(child("api"), child("worker"))
    [api], [worker] = read_pids(tmp_path / "api"), read_pids(tmp_path / "worker")
    assert os.getsid(api) == api  # out of reach of the terminal's Ctrl-C
    assert finish(supervisor, number) == (0, "")
    assert said.read_text().split() == ["worker", "api"]
    assert not is_alive(api)
    assert not is_alive(worker)


def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    supervisor = launch(f"deaf||trap '' TERM; echo $$ >> {tmp_path}/deaf; sleep 60", stop_timeout_s=0.3)
    [pid] = read_pids(tmp_path / "deaf")
    code, stderr = finish(supervisor, signal.SIGTERM)
    assert (code, stderr) == (0, "deaf did not stop in 0.3 s: killed.\n")
    assert not is_alive(pid)


def test_grandchildren_do_not_stay(tmp_path: Path) -> None:
    supervisor = launch(
        f"api||sleep 60 & echo $! >> {tmp_path}/grandchild; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    )
    [grandchild] = read_pids(tmp_path / "grandchild")
    assert finish(supervisor, signal.SIGINT)[0] == 0
    wait_until(lambda: not is_alive(grandchild))


def test_a_death_ends_everything_in_one_line(tmp_path: Path) -> None:
    supervisor = launch(
        f"worker|restart|echo $$ >> {tmp_path}/worker; exec sleep 60",
        f"api||while [ ! -s {tmp_path}/worker ]; do sleep 0.05; done; exit 7",
    )
    [worker] = read_pids(tmp_path / "worker")
    assert finish(supervisor) == (7, "api ended (exit code 7): stopping the rest.\n")
    assert not is_alive(worker)


def test_a_death_without_a_code_is_still_a_failure() -> None:
    assert finish(launch("api||exit 0")) == (1, "api ended (exit code 0): stopping the rest.\n")
    assert finish(launch("api||kill -KILL $$")) == (1, "api ended (signal 9): stopping the rest.\n")


def test_restarts_with_back_off(tmp_path: Path) -> None:
    supervisor = launch(f"worker|restart|echo $$ >> {tmp_path}/pids; exit 3")
    read_pids(tmp_path / "pids", count=3)
    code, stderr = finish(supervisor, signal.SIGTERM)
    assert code == 0
    waits = [line.rsplit(" ", 2)[1] for line in stderr.splitlines()]
    assert waits[:2] == ["0.5", "1"]
    assert stderr.startswith("worker ended (exit code 3): starting it again in 0.5 s.\n")


WAITS = "api|standby|echo $$ >> {0}/made; read line || exit 0; echo $$ >> {0}/began; exec sleep 60"


def test_a_spare_takes_over_at_once(tmp_path: Path) -> None:
    supervisor = launch(WAITS.format(tmp_path))
    [first] = read_pids(tmp_path / "began")
    _, spare = read_pids(tmp_path / "made", count=2)
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    assert read_pids(tmp_path / "began", count=2) == [first, spare]
    assert time.monotonic() - killed < 5
    next_spare = read_pids(tmp_path / "made", count=3)[2]
    code, stderr = finish(supervisor, signal.SIGTERM)
    assert (code, stderr) == (0, "api ended (signal 9): starting it again.\n")
    assert not is_alive(spare)
    assert not is_alive(next_spare)


def test_it_goes_on_when_the_spare_is_killed_too(tmp_path: Path) -> None:
    supervisor = launch(WAITS.format(tmp_path))
    both = read_pids(tmp_path / "made", count=2)
    for pid in both:
        os.kill(pid, signal.SIGKILL)
    assert read_pids(tmp_path / "began", count=2)[1] not in both
    assert finish(supervisor, signal.SIGTERM)[0] == 0


def test_a_standby_that_gives_up_ends_everything(tmp_path: Path) -> None:
    supervisor = launch("api|standby|read line; exit 3")
    assert finish(supervisor) == (3, "api ended (exit code 3): stopping the rest.\n")


def test_no_orphan_stays_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    supervisor = launch(
        f"polite||sleep 60 & echo $! >> {tmp_path}/grandchild; echo $$ >> {tmp_path}/polite; wait",
        f"deaf||trap '' TERM; echo $$ >> {tmp_path}/deaf; sleep 60",
        stop_timeout_s=0.5,
    )
    pids = [pid for name in ("polite", "grandchild", "deaf") for pid in read_pids(tmp_path / name)]
    assert all(is_alive(pid) for pid in pids)
    finish(supervisor, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_a_program_that_is_not_there_stops_the_others(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    children = [
        supervise.Child("api", ["/bin/sh", "-c", f"echo $$ > {pid_file}; exec sleep 60"]),
        supervise.Child("worker", [str(tmp_path / "absent")]),
    ]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(errors.SetupError, match=r"worker can't be started: .*absent"):
        supervise.run(children)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not pid_file.exists() or not is_alive(int(pid_file.read_text() or 0))


def test_a_child_has_the_environment_it_was_given(tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = supervise.Child("api", ["/bin/sh", "-c", f'echo "$GREETING$HOME" > {out}'], {"GREETING": "hello"})
    assert supervise.run([child]) == 1
    assert out.read_text() == "hello\n"


def test_port_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.SetupError) as caught:
            supervise.port_is_free("127.0.0.1", port)
        assert caught.value.message == f"Port {port} on 127.0.0.1 is taken, set CRMGQL_PORT to another one."
    supervise.port_is_free("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(errors.SetupError, match="set CRMGQL_HOST to another one"):
        supervise.port_is_free(host, 8000)
