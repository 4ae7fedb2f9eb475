"""A CT of 600 slices in, a SEG of one organ out, without a network: ClickSeg against the operators of the SDK."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from monai.deploy.core import Fragment
from monai.deploy.core.domain.dicom_series_selection import SelectedSeries, StudySelectedSeries
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_seg_writer_operator import DICOMSegmentationWriterOperator, SegmentDescription
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator
from pydicom import dcmread
from pydicom.sr.codedict import codes

from benchmarks.table import Row, publish
from clickseg.core.arrays import Values
from clickseg.core.label_map import LabelMap
from clickseg.datasets.phantom import write_series
from clickseg.dicom.files import scan
from clickseg.dicom.series import Remedies, check, group
from clickseg.dicom.volume import load_volume
from clickseg.models.spec import ModelSpec
from clickseg.results.identity import Algorithm, Provenance
from clickseg.results.segmentation import SegmentationType, make_segmentation
from tests.helpers import phantoms

_SHAPE = (600, 512, 512)
_REPEATS = 5
_LIVER = (slice(200, 400), slice(150, 350), slice(100, 300))


def run(_: Path) -> None:
    """Measures, prints and keeps the table."""
    with tempfile.TemporaryDirectory() as folder:
        study, output = Path(folder, "in"), Path(folder, "out")
        _write(study)
        ways: dict[str, Callable[[Path, Path], Values]] = {"SDK operators": _sdk, "ClickSeg": _ours}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        found = {}
        for _repeat in range(_REPEATS):
            for way, work in ways.items():
                (output / way).mkdir(parents=True, exist_ok=True)
                start = perf_counter()
                found[way] = work(study, output / way)
                seconds[way].append(perf_counter() - start)
        frames = {way: sum(dcmread(path).NumberOfFrames for path in (output / way).iterdir()) for way in ways}
    rows: list[Row] = [
        {
            "way": way,
            "s": round(median(seconds[way]), 2),
            "times less": round(median(seconds["SDK operators"]) / median(seconds[way]), 2),
            "same values": str(np.array_equal(np.sort(found[way][:, 0, 0]), np.sort(found["SDK operators"][:, 0, 0]))),
            "SEG frames": frames[way] // _REPEATS,
        }
        for way in ways
    ]
    publish("reading", f"CT of 600 x 512 x 512 to a SEG of one organ, median of {_REPEATS}, in turn", rows)


def _write(folder: Path) -> None:
    geometry = phantoms.oblique_geometry(_SHAPE, pixel_spacing=(0.8, 0.7), slice_spacing=1.0)
    rows = np.random.default_rng(1).integers(-1000, 1000, (_SHAPE[0], 1, _SHAPE[2]))
    values = np.broadcast_to(rows, _SHAPE).astype(np.float32)
    write_series(folder, geometry.with_array(values), phantoms.header("CT"))


def _ours(study: Path, output: Path) -> Values:
    (candidate,) = group(scan(study).instances)
    series = load_volume(check(candidate, Remedies()))
    labels = LabelMap(_liver(), overlapping=False, count=1)
    spec = ModelSpec.model_validate(phantoms.metadata())
    provenance = Provenance(Algorithm("benchmark", "1", "0" * 64, "", "f32"), datetime(2026, 1, 1))
    made = make_segmentation(series, labels, spec, provenance, segmentation_type=SegmentationType.BINARY)
    if made is not None:
        (output / f"{len(list(output.iterdir()))}.dcm").write_bytes(made.content)
    return series.volume.array


def _sdk(study: Path, output: Path) -> Values:
    fragment = Fragment()
    (loaded,) = DICOMDataLoaderOperator(fragment, input_folder=study).load_data_to_studies(study)
    (series,) = loaded.get_all_series()
    selected = StudySelectedSeries(loaded)
    selected.add_selected_series(SelectedSeries("ct", series))
    image = DICOMSeriesToVolumeOperator(fragment).convert_to_image([selected])
    described = SegmentDescription("hook", codes.SCT.Organ, codes.SCT.Liver, "benchmark", "1")
    writer = DICOMSegmentationWriterOperator(fragment, segment_descriptions=[described], output_folder=output)
    writer.create_dicom_seg(_liver(), series, output)
    array: Values = image.asnumpy()
    return array


def _liver() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    labels = np.zeros(_SHAPE, np.uint8)
    labels[_LIVER] = 1
    return labels
