"""Mutated input without end: each is read, or refused by a ``ClickSegError``; within seconds, and in bounded memory.

``python -m tests.helpers.fuzzing --count 100000`` runs as many, in turn over all targets, and prints what came of
them; an input that breaks the rule is written to ``fuzz-failures/``. The test suite runs a few of each.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import logging
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from clickseg.batch.click_assignment import assign, find_reports
from clickseg.cli.clicks import FORMS, written
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.find import FoundClicks, read_clicks
from clickseg.clicks.image_clicks import placed
from clickseg.core.errors import ClickError, ClickSegError
from clickseg.dicom.files import scan
from clickseg.dicom.predecessor import EarlierResult, predecessors
from clickseg.dicom.series import CheckedSeries, Remedies, check, group
from clickseg.dicom.volume import load_volume
from clickseg.inference.click_binding import bind
from clickseg.models.package import load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.dicom_results import CLOCK, make_results

KINDS = ("DICOM image", "click file", "earlier report", "model package")
SECONDS = 10
MEMORY_BYTES = 6 << 30
INTERESTING = (
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\0",
    b"-1",
    b"1e309",
    b"NaN",
    b"\\",
    b"%",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What is fed with mutated input.

    Attributes:
        seeds: Whole inputs, by file name.
        beside: What lies beside an input, by its name: the other slice of its series.
        run: Reads a file; raises nothing but ``ClickSegError``.
    """

    seeds: dict[str, bytes]
    run: Callable[[Path], object]
    beside: dict[str, bytes] = field(default_factory=dict)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Returns an input with one to eight changes: bytes set, cut, doubled, moved or swapped for tricky ones."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        start = rng.randrange(len(data) + 1)
        end = min(start + rng.choice((1, 1, 2, 4, 16, 256)), len(data))
        match rng.randrange(6):
            case 0:
                data[start:end] = rng.randbytes(end - start)
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end]
            case 3:
                data[start:end] = rng.choice(INTERESTING)
            case 4:
                data[start : start + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[start : start + 1])
            case _:
                other = rng.randrange(len(data) + 1)
                data[start:end] = data[other : other + end - start]
        if rng.random() < 0.02:
            del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def targets(folder: Path) -> dict[str, Target]:
    """Returns the targets; what they need besides the input is written to a folder."""
    series = _small_series(folder)
    return {
        "DICOM image": Target(_dicom_seeds(folder), _read_series, _other_slices()),
        "click file": Target(_click_seeds(series), lambda path: _use_clicks(path, series)),
        "earlier report": Target({"sr": _report(series)}, lambda path: _carry_on(path, series)),
        "model package": Target({"metadata.json": _metadata()}, _load_package),
    }


def _small_series(folder: Path) -> CheckedSeries:
    return phantoms.checked(phantoms.write(folder / "series", phantoms.distinct(phantoms.oblique_geometry())))


def _dicom_seeds(folder: Path) -> dict[str, bytes]:
    """One slice of small series of each modality, encoding and kind."""
    seeds = {}
    for modality in ("CT", "MR", "PT"):
        datasets = _two_slices(modality)
        seeds[modality] = _encoded(datasets[0])
        enhanced = dcmread(phantoms.legacy_enhanced(folder / f"enhanced {modality}", datasets) / "enhanced.dcm")
        if modality == "PT":  # what highdicom's converter leaves behind
            enhanced.Units, enhanced.AttenuationCorrected, enhanced.DecayCorrected = "BQML", "YES", "YES"
            enhanced.DecayCorrectionDateTime, enhanced.PatientWeight = "20260102093000", datasets[0].PatientWeight
            enhanced.RadiopharmaceuticalInformationSequence = datasets[0].RadiopharmaceuticalInformationSequence
        seeds[f"enhanced {modality}"] = _encoded(enhanced)
    deflated, compressed = _two_slices("CT")[0], _two_slices("CT")[0]
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    compressed.compress(RLELossless, generate_instance_uid=False)
    return {**seeds, "deflated": _encoded(deflated), "RLE": _encoded(compressed)}


def _two_slices(modality: str) -> list[Dataset]:
    geometry = phantoms.oblique_geometry((2, 4, 5))
    return phantoms.instances(geometry.with_array(np.arange(40, dtype=np.float32).reshape(2, 4, 5)), modality)


def _other_slices() -> dict[str, bytes]:
    slices = {modality: _encoded(_two_slices(modality)[1]) for modality in ("CT", "MR", "PT")}
    return {**slices, "deflated": slices["CT"], "RLE": slices["CT"]}


def _encoded(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _click_seeds(series: CheckedSeries) -> dict[str, bytes]:
    geometry = series.stack.geometry
    points = geometry.map_indices_to_reference(np.array([[1, 2, 3], [5, 8, 11]]))
    clicks = tuple(Click("hook", polarity, tuple(point)) for polarity, point in zip(Polarity, points, strict=True))
    placed_clicks = Clicks(clicks, series.candidate.frame_of_reference_uid, series.candidate.series_uid)
    suffixes = {"cvpr": "npz", "fcsv": "fcsv", "sr": "dcm", "slicer": "mrk.json"}
    return {f"{form}.{suffixes.get(form, 'json')}": written(placed_clicks, form, series, CLOCK) for form in FORMS}


def _metadata() -> bytes:
    rules = {"min_value": 1.5, "keep": "clicked"}
    section = phantoms.metadata(inputs=[phantoms.ANY_MODALITY], guidance=phantoms.GUIDANCE, postprocessing=rules)
    return json.dumps({"version": "1.2.3", "clickseg": section}).encode()


def _read_series(path: Path) -> None:
    """Reads a mutated slice beside whole ones of the same series, and writes a result on what forms a volume."""
    found = scan(path.parent)
    found.check_undamaged()
    for candidate in group(found.instances):
        found.check_series(candidate.series_uid)
        make_results(load_volume(check(candidate, Remedies(drop_localizers=True, resample=True, volume=1))))


def _report(series: CheckedSeries) -> bytes:
    """The SR of a run with clicks that carries on another run."""
    read = load_volume(series)
    clicks = _clicks_in(series)
    first = make_results(read, clicks=clicks).report
    documents = predecessors((EarlierResult(first, "another"),), clicks.digest)
    made = make_results(read, clicks=clicks).report
    made.PredecessorDocumentsSequence = list(documents)
    return _encoded(made)


def _clicks_in(series: CheckedSeries) -> Clicks:
    """Clicks in a series, with its UIDs."""
    point = series.stack.geometry.map_indices_to_reference(np.array([[1, 2, 3]]))[0]
    candidate = series.candidate
    click = Click("hook", Polarity.FOREGROUND, tuple(point))
    return Clicks((click,), candidate.frame_of_reference_uid, candidate.series_uid)


def _carry_on(path: Path, series: CheckedSeries) -> None:
    """Takes clicks and predecessors from an SR beside a series."""
    found = assign([(series,)], FoundClicks(None), find_reports(scan(path.parent).instances))
    for earlier in found.earlier[0]:
        predecessors((earlier,), earlier.clicks_sha256)
        predecessors((earlier,), "others")


def _use_clicks(path: Path, series: CheckedSeries) -> None:
    """Reads clicks, binds them to a model and writes them in every form that can hold them."""
    spec = ModelSpec.model_validate(phantoms.metadata(guidance=phantoms.GUIDANCE))
    in_mm = placed(read_clicks(path), series)
    for form in FORMS:
        with suppress(ClickError):
            written(in_mm, form, series, CLOCK)
    bind(in_mm, spec, series.stack.geometry, series.candidate.series_uid)


def _load_package(path: Path) -> None:
    folder = path.parent / "package"
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    path.replace(folder / "configs" / "metadata.json")
    load_package(folder)


@contextmanager
def limits() -> Iterator[None]:
    """Bounds by how much the process may grow, and each input's time by an alarm."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    reserved = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (reserved + MEMORY_BYTES, before[1]))
    handler = signal.signal(signal.SIGALRM, _too_slow)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


class TooSlow(BaseException):
    """An input took too long; no ``except`` for errors of reading catches it."""


def _too_slow(*_: object) -> None:
    raise TooSlow


def feed(target: Target, name: str, content: bytes, seconds: int = SECONDS) -> str:
    """Feeds one input, and says what came of it: ``read``, ``refused``, or what broke the rule."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name if "." in name else f"{name}.dcm")
        path.write_bytes(content)
        if name in target.beside:
            Path(folder, "beside.dcm").write_bytes(target.beside[name])
        signal.alarm(seconds)
        faulthandler.dump_traceback_later(30 * seconds, exit=True)  # a loop in C hears no alarm
        try:
            target.run(path)
        except ClickSegError:
            return "refused"
        except TooSlow:
            return f"more than {seconds} s"
        except Exception as error:  # noqa: BLE001 - what is looked for
            return f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
    return "read"


def main() -> int:
    """Runs as many inputs as asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=KINDS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    rng, tally = random.Random(arguments.seed), Counter[tuple[str, str]]()
    slowest, failures = 0.0, 0
    with tempfile.TemporaryDirectory() as folder, limits():
        named = [each for each in targets(Path(folder)).items() if arguments.only in (None, each[0])]
        for number in range(arguments.count):
            kind, target = named[number % len(named)]
            name = rng.choice(list(target.seeds))
            content = mutate(target.seeds[name], rng)
            start = time.perf_counter()
            outcome = feed(target, name, content)
            slowest = max(slowest, time.perf_counter() - start)
            tally[kind, outcome if outcome in ("read", "refused") else "broke the rule"] += 1
            if outcome not in ("read", "refused"):
                failures += 1
                Path("fuzz-failures").mkdir(exist_ok=True)
                Path("fuzz-failures", f"{arguments.seed}-{number}-{name}").write_bytes(content)
                sys.stdout.write(f"{kind} {name} {number}: {outcome[:300]}\n")
    for (kind, outcome), count in sorted(tally.items()):
        sys.stdout.write(f"{kind:14} {outcome:14} {count}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"slowest input {slowest:.2f} s, peak memory {peak:.0f} MB\n")
    return min(failures, 1)


if __name__ == "__main__":
    raise SystemExit(main())
