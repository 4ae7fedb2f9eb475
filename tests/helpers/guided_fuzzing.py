"""The targets of ``tests.helpers.fuzzing`` under atheris: libFuzzer keeps each mutated input that reaches new code.

``pip install atheris``, then ``python -m tests.helpers.guided_fuzzing "click file" --count 50000``. Prints what came of
them; an input that breaks the rule ends the run, and libFuzzer writes it to ``crash-...``.
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
    from tests.helpers.fuzzing import Target, feed, limits, targets

LONGEST_BYTES = 1 << 16


def write_corpus(target: Target, folder: Path) -> Path:
    """Writes the seeds of a target, each behind a byte that says which it is."""
    folder.mkdir()
    for number, content in enumerate(target.seeds.values()):
        (folder / str(number)).write_bytes(bytes([number]) + content)
    return folder


def fed(kind: str, target: Target, count: int) -> Callable[[bytes], None]:
    """Returns what libFuzzer calls with each input; it tells the tally when it has seen as many as asked for."""
    names, tally, start = list(target.seeds), Counter[str](), time.perf_counter()

    def feed_one(content: bytes) -> None:
        outcome = feed(target, names[content[0] % len(names)], content[1:]) if content else "refused"
        tally[outcome] += 1
        if outcome not in ("read", "refused"):
            raise RuntimeError(f"{kind}: {outcome}")
        if tally.total() == count:
            sys.stdout.write(f"{kind}: {dict(tally)} in {time.perf_counter() - start:.0f} s\n")

    return feed_one


def main() -> None:
    """Feeds one target; does not return, since libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("DICOM image", "click file", "earlier report", "model package"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name, limits():
        target = targets(Path(name))[arguments.kind]
        corpus = write_corpus(target, Path(name, "corpus"))
        options = [f"-runs={arguments.count}", f"-seed={arguments.seed}", f"-max_len={LONGEST_BYTES}", "-timeout=0"]
        atheris.Setup([sys.argv[0], str(corpus), *options], fed(arguments.kind, target, arguments.count))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
