"""A run that is ended from outside says so in one line and leaves nothing behind, at every door."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import runs

SLOW = """
import sys, time
sys.path.insert(0, {repository!r})
from clickseg.inference import sliding_window
def slow(*_):
    time.sleep(60)
sliding_window.run = slow
{door}
"""
DOORS = {
    "segment": "from clickseg.cli import main; raise SystemExit(main(['segment', sys.argv[1], *sys.argv[2:]]))",
    "app": "from app.main import main; raise SystemExit(main(['app', '-i', *sys.argv[1:]]))",
}


def started(command: list[object], **environ: str) -> subprocess.Popen[str]:
    words = [str(word) for word in command]
    return subprocess.Popen(words, env=runs.environment(**environ), stderr=subprocess.PIPE, text=True)


def wait_until_it_runs(output: Path) -> None:
    for _ in range(600):
        if output.is_dir() and any(output.glob(".clickseg-*/.lock")):
            time.sleep(0.3)
            return
        time.sleep(0.1)
    raise TimeoutError("the run has not begun")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_nothing_but_the_note(tmp_path: Path, door: str, number: signal.Signals) -> None:
    study, models = runs.write_input(tmp_path / "in"), runs.write_model(tmp_path / "models")
    code = SLOW.format(repository=str(runs.REPOSITORY), door=DOORS[door])
    output = tmp_path / "out"

    run = started([sys.executable, "-c", code, study, "-m", models, "-o", output], CLICKSEG_METADATA="1")
    wait_until_it_runs(output)
    run.send_signal(number)
    _, errors = run.communicate(timeout=30)

    assert run.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
    assert [path.name for path in output.iterdir()] == ["metadata.json"]
    assert json.loads((output / "metadata.json").read_text())["exception"] == "Interrupted"


def test_exec_is_the_application_so_that_no_signal_misses_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    command = [str(Path(sys.executable).with_name("clickseg")), "exec", str(tmp_path / "app.py")]

    with subprocess.Popen(command, env=runs.environment(), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.send_signal(signal.SIGTERM)
        run.wait(timeout=30)

    assert (pid, run.returncode) == (run.pid, -signal.SIGTERM)
