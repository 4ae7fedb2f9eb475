"""Fuzzing: each mutated input must be used or rejected by a ``ClickSegError``, in limited time and memory.

``python -m tests.helpers.fuzzing --count 100000`` runs 100,000 inputs, alternating between all targets, and prints the
outcomes. An input that fails is written to ``fuzz-failures/``. The test suite runs a few inputs of each target.
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

from clickseg.batch.click_assignment import assign_clicks, find_click_reports
from clickseg.cli.clicks import FORMATS, encode_clicks
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.find import FoundClicks, read_clicks
from clickseg.clicks.image_clicks import resolve_positions
from clickseg.core.errors import ClickError, ClickSegError
from clickseg.dicom.files import scan
from clickseg.dicom.predecessor import Predecessor, predecessor_documents
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import SeriesGeometry, check_series
from clickseg.dicom.series_files import group_by_series
from clickseg.dicom.volume import load_volume
from clickseg.inference.click_binding import bind_clicks
from clickseg.models.package import load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.dicom_results import CLOCK, make_results
from tests.helpers.model_fuzzing import HAS_TORCH, MODEL_TARGETS, make_model_targets

TARGET_NAMES = (
    "DICOM image",
    "click file",
    "previous report",
    "model package",
    *(MODEL_TARGETS if HAS_TORCH else ()),
)
MAX_SECONDS = 10
MAX_MEMORY_BYTES = 6 << 30
SPECIAL_VALUES = (
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
    """Code that is tested with mutated inputs.

    Attributes:
        seeds: Valid inputs, by file name.
        read: Reads and uses a file; must raise no error except ``ClickSegError``.
        companions: Files that are written next to an input, by the name of the input: the other slice of its series.
    """

    seeds: dict[str, bytes]
    read: Callable[[Path], object]
    companions: dict[str, bytes] = field(default_factory=dict)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Returns an input with one to eight changes: bytes overwritten, deleted, repeated, copied or replaced."""
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
                data[start:end] = rng.choice(SPECIAL_VALUES)
            case 4:
                data[start : start + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[start : start + 1])
            case _:
                source = rng.randrange(len(data) + 1)
                data[start:end] = data[source : source + end - start]
        if rng.random() < 0.02:
            del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def make_targets(folder: Path) -> dict[str, Target]:
    """Returns the targets by name; writes the additional files that they need to a folder."""
    series = _read_small_geometry(folder)
    models = make_model_targets(folder) if HAS_TORCH else {}
    return {
        "DICOM image": Target(_dicom_seeds(folder), _read_series, _companion_slices()),
        "click file": Target(_click_seeds(series), lambda path: _use_clicks(path, series)),
        "previous report": Target({"sr": _make_report(series)}, lambda path: _read_report(path, series)),
        "model package": Target({"metadata.json": _package_metadata()}, _load_package),
        **{name: Target(seeds, read) for name, (seeds, read) in models.items()},
    }


def _read_small_geometry(folder: Path) -> SeriesGeometry:
    return phantoms.read_geometry(
        phantoms.write(folder / "series", phantoms.distinct_volume(phantoms.oblique_geometry()))
    )


def _dicom_seeds(folder: Path) -> dict[str, bytes]:
    """Returns one slice of a small series for each modality and encoding."""
    seeds = {}
    for modality in ("CT", "MR", "PT"):
        datasets = _two_slices(modality)
        seeds[modality] = _encode(datasets[0])
        enhanced = dcmread(phantoms.write_legacy_enhanced(folder / f"enhanced {modality}", datasets) / "enhanced.dcm")
        if modality == "PT":  # attributes that the converter of highdicom does not copy
            enhanced.Units, enhanced.AttenuationCorrected, enhanced.DecayCorrected = "BQML", "YES", "YES"
            enhanced.DecayCorrectionDateTime, enhanced.PatientWeight = "20260102093000", datasets[0].PatientWeight
            enhanced.RadiopharmaceuticalInformationSequence = datasets[0].RadiopharmaceuticalInformationSequence
        seeds[f"enhanced {modality}"] = _encode(enhanced)
    deflated, compressed = _two_slices("CT")[0], _two_slices("CT")[0]
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    compressed.compress(RLELossless, generate_instance_uid=False)
    return {**seeds, "deflated": _encode(deflated), "RLE": _encode(compressed)}


def _two_slices(modality: str) -> list[Dataset]:
    geometry = phantoms.oblique_geometry((2, 4, 5))
    return phantoms.instances(geometry.with_array(np.arange(40, dtype=np.float32).reshape(2, 4, 5)), modality)


def _companion_slices() -> dict[str, bytes]:
    slices = {modality: _encode(_two_slices(modality)[1]) for modality in ("CT", "MR", "PT")}
    return {**slices, "deflated": slices["CT"], "RLE": slices["CT"]}


def _encode(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _click_seeds(series: SeriesGeometry) -> dict[str, bytes]:
    geometry = series.stack.geometry
    points = geometry.map_indices_to_reference(np.array([[1, 2, 3], [5, 8, 11]]))
    click_list = tuple(Click("hook", polarity, tuple(point)) for polarity, point in zip(Polarity, points, strict=True))
    clicks = Clicks(click_list, series.files.frame_of_reference_uid, series.files.series_uid)
    suffixes = {"cvpr": "npz", "fcsv": "fcsv", "sr": "dcm", "slicer": "mrk.json"}
    return {f"{form}.{suffixes.get(form, 'json')}": encode_clicks(clicks, form, series, CLOCK) for form in FORMATS}


def _package_metadata() -> bytes:
    rules = {"min_value": 1.5, "keep": "clicked"}
    section = phantoms.metadata(inputs=[phantoms.ANY_MODALITY], guidance=phantoms.GUIDANCE, postprocessing=rules)
    return json.dumps({"version": "1.2.3", "clickseg": section}).encode()


def _read_series(path: Path) -> None:
    """Reads a mutated slice with another slice of its series, and creates a result if the series is a volume."""
    scan_result = scan(path.parent)
    scan_result.check_undamaged()
    for files in group_by_series(scan_result.instances):
        scan_result.check_series_undamaged(files.series_uid)
        make_results(
            load_volume(check_series(files, Repairs(drop_localizers=True, gantry_tilt=True, resample=True, volume=1)))
        )


def _make_report(series: SeriesGeometry) -> bytes:
    """Returns the SR of a result with clicks and a predecessor."""
    volume = load_volume(series)
    clicks = _make_clicks(series)
    first_report = make_results(volume, clicks=clicks).report
    documents = predecessor_documents((Predecessor(first_report, "other clicks"),), clicks.digest)
    report = make_results(volume, clicks=clicks).report
    report.PredecessorDocumentsSequence = list(documents)
    return _encode(report)


def _make_clicks(series: SeriesGeometry) -> Clicks:
    """Returns a click in a series, with the UIDs of the series."""
    point = series.stack.geometry.map_indices_to_reference(np.array([[1, 2, 3]]))[0]
    click = Click("hook", Polarity.FOREGROUND, tuple(point))
    return Clicks((click,), series.files.frame_of_reference_uid, series.files.series_uid)


def _read_report(path: Path, series: SeriesGeometry) -> None:
    """Reads clicks and predecessors from an SR."""
    assigned = assign_clicks([(series,)], FoundClicks(None), find_click_reports(scan(path.parent).instances))
    for result in assigned.predecessors[0]:
        predecessor_documents((result,), result.clicks_sha256)
        predecessor_documents((result,), "other clicks")


def _use_clicks(path: Path, series: SeriesGeometry) -> None:
    """Reads clicks, binds them to a model and writes them in every format that supports them."""
    spec = ModelSpec.model_validate(phantoms.metadata(guidance=phantoms.GUIDANCE))
    clicks = resolve_positions(read_clicks(path), series)
    for form in FORMATS:
        with suppress(ClickError):
            encode_clicks(clicks, form, series, CLOCK)
    bind_clicks(clicks, spec, series.stack.geometry, series.files.series_uid)


def _load_package(path: Path) -> None:
    folder = path.parent / "package"
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    path.replace(folder / "configs" / "metadata.json")
    load_package(folder)


@contextmanager
def apply_limits() -> Iterator[None]:
    """Limits the memory of the process, and installs the alarm that limits the time of each input."""
    previous = resource.getrlimit(resource.RLIMIT_AS)
    reserved = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (reserved + MAX_MEMORY_BYTES, previous[1]))
    handler = signal.signal(signal.SIGALRM, _raise_timeout)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, previous)


class InputTimeout(BaseException):
    """An input took too long. A BaseException, so that no handler of read errors catches it."""


def _raise_timeout(*_: object) -> None:
    raise InputTimeout


def run_input(target: Target, name: str, content: bytes, seconds: int = MAX_SECONDS) -> str:
    """Runs one input, and returns its outcome: ``used``, ``rejected``, or the reason for the failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name if "." in name else f"{name}.dcm")
        path.write_bytes(content)
        if name in target.companions:
            Path(folder, "companion.dcm").write_bytes(target.companions[name])
        signal.alarm(seconds)
        faulthandler.dump_traceback_later(30 * seconds, exit=True)  # an alarm does not interrupt a loop in C
        try:
            target.read(path)
        except ClickSegError:
            return "rejected"
        except InputTimeout:
            return f"more than {seconds} s"
        except Exception as error:  # noqa: BLE001 - any other error is a failure
            return f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
    return "used"


def main() -> int:
    """Runs the requested number of inputs; returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=TARGET_NAMES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    rng, counts = random.Random(arguments.seed), Counter[tuple[str, str]]()
    slowest, failures = 0.0, 0
    with tempfile.TemporaryDirectory() as folder, apply_limits():
        targets = [item for item in make_targets(Path(folder)).items() if arguments.only in (None, item[0])]
        for number in range(arguments.count):
            target_name, target = targets[number % len(targets)]
            name = rng.choice(list(target.seeds))
            content = mutate(target.seeds[name], rng)
            start = time.perf_counter()
            outcome = run_input(target, name, content)
            slowest = max(slowest, time.perf_counter() - start)
            counts[target_name, outcome if outcome in ("used", "rejected") else "failed"] += 1
            if outcome not in ("used", "rejected"):
                failures += 1
                Path("fuzz-failures").mkdir(exist_ok=True)
                Path("fuzz-failures", f"{arguments.seed}-{number}-{name}").write_bytes(content)
                sys.stdout.write(f"{target_name} {name} {number}: {outcome[:300]}\n")
    for (target_name, outcome), count in sorted(counts.items()):
        sys.stdout.write(f"{target_name:14} {outcome:14} {count}\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"slowest input {slowest:.2f} s, peak memory {peak:.0f} MB\n")
    return min(failures, 1)


if __name__ == "__main__":
    raise SystemExit(main())
