"""The command line in a terminal of its own: what is seen, and what Ctrl-C asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.server import Server, probe

pexpect, pyte = pytest.importorskip("pexpect"), pytest.importorskip("pyte")
ROWS, COLUMNS = 40, 100
KANAD = str(Path(sys.executable).with_name("kanad"))


def _heed_ctrl_c() -> None:
    """Where the tests run in the background of a script, they and all that they start ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command in a terminal, and what stands on its screen."""

    def __init__(self, *words: str, columns: int = COLUMNS) -> None:
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(ROWS)}
        self.process = pexpect.spawn(
            sys.executable, ["-m", "kanad_server", *words], dimensions=(ROWS, columns), env=environment, timeout=60,
            preexec_fn=_heed_ctrl_c,
        )  # fmt: skip
        self._screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self._screen)

    def until(self, seen: str, timeout_s: float = 40) -> str:
        """The screen, once these words are on it."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with suppress(pexpect.TIMEOUT, pexpect.EOF):
                self._stream.feed(self.process.read_nonblocking(4096, timeout=0.1))
            text = "\n".join(self._screen.display)
            if seen in text:
                return text
        raise AssertionError(f"waited for {seen!r}; the screen shows\n{text}")

    def ended(self) -> int:
        """The exit code."""
        self.process.expect(pexpect.EOF)
        self.process.close()
        return int(self.process.exitstatus)


def test_watch_draws_a_live_chart(server: Server) -> None:
    running = server.post(probe(steps=3_000, step_ms=10, name="a long one"))["id"]
    terminal = Terminal("watch", running, "--url", server.url)
    shown = terminal.until("E = ")
    assert "a long one" in shown
    assert any("\u2801" <= letter <= "\u28ff" for letter in terminal.until("┤"))
    terminal.process.sendintr()
    assert terminal.ended() == 130
    assert server.get(running)["status"] == "running"
    server.http.post(f"/api/v1/experiments/{running}/cancel")


@pytest.mark.parametrize("columns", [44, 80, 120])
def test_ids_and_energies_are_whole_in_a_terminal_of_any_width(server: Server, columns: int) -> None:
    posted = server.post(probe(steps=1, name="a name of some length"))["id"]
    energy = f"{server.ended(posted)['energy_hartree']:.8f}"
    listed = Terminal("ls", "--limit", "1", "--url", server.url, columns=columns)
    assert energy in listed.until(posted)
    assert listed.ended() == 0
    shown = Terminal("show", posted, "--url", server.url, columns=columns)
    assert energy in shown.until("converged")
    assert shown.ended() == 0


def test_a_refusal_is_broken_between_words(server: Server) -> None:
    terminal = Terminal("run", "H2", "-b", "none", "--url", server.url, columns=80)
    lines = [line.strip() for line in terminal.until("'none'").splitlines() if line.strip()]
    assert terminal.ended() == 1
    answer = server.http.post("/api/v1/experiments", json=probe() | {"basis": "none", "method": {"name": "hf"}})
    assert " ".join(lines) == f"kanad: 422 invalid_spec: {answer.json()['detail']}"


def test_a_scan_is_charted_by_its_points_and_several_runs_are_told_apart(server: Server) -> None:
    coordinate = json.dumps({"type": "bond", "atoms": [0, 1]})
    options = [f"-O{word}" for word in (f"coordinate={coordinate}", "start=1", "stop=2", "points=3")]
    Terminal("run", "LiH", "-t", "scan", *options, "--url", server.url).until("points of the scan 3")
    shown = Terminal("run", "H2", "LiH", "-m", "hf", "--url", server.url).until("energy             -7.86")
    titles = [line.strip() for line in shown.splitlines()]
    assert titles.index("H2") < titles.index("LiH")


@pytest.mark.parametrize(("answer", "status"), [("c", "cancelled"), ("l", "running")])
def test_ctrl_c_in_run_asks_whether_to_cancel(server: Server, tmp_path: Path, answer: str, status: str) -> None:
    spec = tmp_path / "probe.json"
    spec.write_text(json.dumps(probe(steps=3_000, step_ms=10, name=f"asked {answer}")))
    terminal = Terminal("run", str(spec), "--url", server.url)
    terminal.until("E = ")
    terminal.process.sendintr()
    terminal.until("[c]ancel, or [l]eave running?")
    terminal.process.sendline(answer)
    assert terminal.ended() == 130
    (found,) = server.http.get("/api/v1/experiments", params={"q": f"asked {answer}"}).json()["items"]
    if status == "cancelled":
        assert server.ended(found["id"])["status"] == "cancelled"
    else:
        assert found["status"] == "running"
        server.http.post(f"/api/v1/experiments/{found['id']}/cancel")


@pytest.mark.skipif(not Path(KANAD).exists(), reason="kanad is not installed beside this Python")
def test_the_shell_completes_commands_and_options() -> None:
    """Bash itself, told as `--show-completion` tells it, with the tab key."""
    folder = str(Path(KANAD).parent)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PS1": "> "}
    told = subprocess.run(
        [KANAD], env=environment | {"_KANAD_COMPLETE": "source_bash"}, capture_output=True, text=True, check=True
    )
    shell = pexpect.spawn("bash", ["--norc", "--noprofile"], env=environment, timeout=30, encoding="utf-8")
    shell.sendline(told.stdout + "\necho re''ady")
    shell.expect("ready")
    for typed, completed in (("kanad est\t", "kanad estimate"), ("kanad run --multi\t", "kanad run --multiplicity")):
        shell.send(typed)
        shell.expect_exact(completed)
        shell.sendcontrol("u")
    shell.close()


@pytest.mark.skipif(not Path(KANAD).exists(), reason="kanad is not installed beside this Python")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_can_be_taught(shell: str) -> None:
    environment = os.environ | {"_KANAD_COMPLETE": f"source_{shell}"}
    done = subprocess.run([KANAD], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert "_KANAD_COMPLETE" in done.stdout


def test_the_start_of_a_server_loads_no_client() -> None:
    heavy = ("httpx", "rich.live", "websockets", "kanad_server.client")
    code = f"import sys, kanad_server.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
