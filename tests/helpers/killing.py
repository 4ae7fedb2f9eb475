"""Kills runs with SIGKILL at random moments, half of them during the publication of the results.

The output folder must contain either a complete result or no new results, and the next run must clean up and succeed.

``python -m tests.helpers.killing --count 200`` prints how often each state occurred.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import runs

COMMAND = [str(Path(sys.executable).with_name("clickseg")), "segment"]


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment at which a run is killed.

    Attributes:
        after_s: The delay after the start of the run, or after its first file is in the output folder.
        is_publishing: Whether the delay begins with the first file.
    """

    after_s: float
    is_publishing: bool

    def wait(self, run: subprocess.Popen[bytes], output: Path) -> None:
        """Waits until the moment."""
        while self.is_publishing and run.poll() is None and not any(output.glob("[!.]*")):
            time.sleep(0.0002)
        time.sleep(self.after_s)


def run_once(study: Path, models: Path, output: Path, moment: Moment | None) -> int:
    """Runs the command and kills it at a moment, if given. Returns the exit code."""
    command = [*COMMAND, str(study), "-o", str(output), "-m", str(models)]
    with subprocess.Popen(command, env=runs.environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        if moment is not None:
            moment.wait(run, output)
            run.send_signal(signal.SIGKILL)
        return run.wait()


def output_state(output: Path, reference: Path) -> str:
    """Returns the state of a folder: ``empty``, ``leftovers``, ``complete``, or ``broken``, which must never occur.

    It is complete if all files in the report have the same bytes as those of a run that was not killed.
    """
    visible = {path.name for path in output.glob("*")} if output.is_dir() else set()
    if "report.json" in visible:
        entries = json.loads((output / "report.json").read_text())["series"]
        listed = [name for entry in entries for name in entry["files"].values()]
        equal = all(
            name in visible and (output / name).read_bytes() == (reference / name).read_bytes() for name in listed
        )
        return "complete" if listed and equal else "broken"
    hidden = output.is_dir() and any(output.glob(".clickseg-*"))
    if visible and not hidden:
        return "broken"
    return "leftovers" if hidden else "empty"


def kill_and_repeat(study: Path, models: Path, folder: Path, reference: Path, moment: Moment) -> tuple[str, str]:
    """Kills a run, and runs again. Returns the state of the output folder after each."""
    output = folder / "out"
    run_once(study, models, output, moment)
    after_kill = output_state(output, reference)
    code = run_once(study, models, output, None)
    is_clean = not any(output.glob(".clickseg-*"))
    return after_kill, "complete" if code == 0 and is_clean and output_state(
        output, reference
    ) == "complete" else "broken"


def main() -> int:
    """Kills the requested number of runs and prints the states."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(arguments.jobs) as pool:
        folder = Path(name)
        study = runs.write_input(folder / "in", runs.click(9, 11, 13))
        models = runs.write_model(folder / "models")
        start = time.perf_counter()
        run_once(study, models, folder / "reference", None)
        duration_s = (time.perf_counter() - start) * arguments.jobs  # parallel runs share the machine
        moments = [
            Moment(rng.uniform(0, 0.002) if number % 2 else rng.uniform(0, duration_s), number % 2 == 1)
            for number in range(arguments.count)
        ]
        jobs = [
            pool.submit(kill_and_repeat, study, models, folder / str(number), folder / "reference", moment)
            for number, moment in enumerate(moments)
        ]
        tally = Counter(job.result() for job in jobs)
    for (after_kill, after_next), count in sorted(tally.items()):
        sys.stdout.write(f"after the kill: {after_kill:10} after the next run: {after_next:8} {count}\n")
    return int(any("broken" in outcome for outcome in tally))


if __name__ == "__main__":
    raise SystemExit(main())
