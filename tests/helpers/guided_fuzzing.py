"""Coverage-guided fuzzing of the targets of ``tests.helpers.fuzzing`` with atheris (libFuzzer).

Run ``pip install atheris``, then ``python -m tests.helpers.guided_fuzzing "click file" --count 50000``. Prints the
number of inputs for each outcome. An input that fails ends the run, and libFuzzer writes it to ``crash-...``.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["clickseg", "pydicom"]):
    from tests.helpers.fuzzing import TARGET_NAMES, Target, apply_limits, make_targets, run_input

MAX_INPUT_BYTES = 1 << 16


def write_corpus(target: Target, folder: Path) -> Path:
    """Writes the seeds of a target; the first byte of each file is the number of the seed."""
    folder.mkdir()
    for number, content in enumerate(target.seeds.values()):
        (folder / str(number)).write_bytes(bytes([number]) + content)
    return folder


def make_callback(target_name: str, target: Target, count: int) -> Callable[[bytes], None]:
    """Returns the function that libFuzzer calls with each input; it prints the outcomes after ``count`` inputs."""
    names, counts, start = list(target.seeds), Counter[str](), time.perf_counter()

    def run_content(content: bytes) -> None:
        outcome = run_input(target, names[content[0] % len(names)], content[1:]) if content else "rejected"
        counts[outcome] += 1
        if outcome not in ("used", "rejected"):
            raise RuntimeError(f"{target_name}: {outcome}")
        if counts.total() == count:
            sys.stdout.write(f"{target_name}: {dict(counts)} in {time.perf_counter() - start:.0f} s\n")

    return run_content


def main() -> None:
    """Runs one target; does not return, because libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGET_NAMES)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, apply_limits():
        target = make_targets(Path(folder))[arguments.target]
        corpus = write_corpus(target, Path(folder, "corpus"))
        options = [f"-runs={arguments.count}", f"-seed={arguments.seed}", f"-max_len={MAX_INPUT_BYTES}", "-timeout=0"]
        atheris.Setup([sys.argv[0], str(corpus), *options], make_callback(arguments.target, target, arguments.count))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
