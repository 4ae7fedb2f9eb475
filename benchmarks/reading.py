"""From a CT of 600 slices to a SEG of one organ, without a network: ClickSeg and the operators of the SDK."""

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
from clickseg.core.arrays import Float32Array
from clickseg.core.label_map import LabelMap
from clickseg.datasets.phantom import write_series
from clickseg.dicom.files import scan
from clickseg.dicom.repairs import Repairs
from clickseg.dicom.series import check_series
from clickseg.dicom.series_files import group_by_series
from clickseg.dicom.volume import load_volume
from clickseg.models.spec import ModelSpec
from clickseg.results.identity import Algorithm, Provenance
from clickseg.results.segmentation import SegmentationType, make_segmentation
from tests.helpers import phantoms

_SHAPE = (600, 512, 512)
_REPEATS = 5
_LIVER = (slice(200, 400), slice(150, 350), slice(100, 300))


def run(_: Path) -> None:
    """Runs the benchmark; prints and stores its table."""
    with tempfile.TemporaryDirectory() as folder:
        study, output = Path(folder, "in"), Path(folder, "out")
        _write_ct(study)
        methods: dict[str, Callable[[Path, Path], Float32Array]] = {
            "SDK operators": _run_sdk,
            "ClickSeg": _run_clickseg,
        }
        seconds: dict[str, list[float]] = {method: [] for method in methods}
        values = {}
        for _repeat in range(_REPEATS):
            for method, function in methods.items():
                (output / method).mkdir(parents=True, exist_ok=True)
                start = perf_counter()
                values[method] = function(study, output / method)
                seconds[method].append(perf_counter() - start)
        frames = {
            method: sum(dcmread(path).NumberOfFrames for path in (output / method).iterdir()) for method in methods
        }
    rows: list[Row] = [
        {
            "method": method,
            "s": round(median(seconds[method]), 2),
            "speed-up over SDK operators": round(median(seconds["SDK operators"]) / median(seconds[method]), 2),
            "identical values": str(
                np.array_equal(np.sort(values[method][:, 0, 0]), np.sort(values["SDK operators"][:, 0, 0]))
            ),
            "SEG frames": frames[method] // _REPEATS,
        }
        for method in methods
    ]
    publish("reading", f"CT of 600 x 512 x 512 to a SEG of one organ, median of {_REPEATS} interleaved runs", rows)


def _write_ct(folder: Path) -> None:
    geometry = phantoms.oblique_geometry(_SHAPE, pixel_spacing=(0.8, 0.7), slice_spacing=1.0)
    rows = np.random.default_rng(1).integers(-1000, 1000, (_SHAPE[0], 1, _SHAPE[2]))
    values = np.broadcast_to(rows, _SHAPE).astype(np.float32)
    write_series(folder, geometry.with_array(values), phantoms.header("CT"))


def _run_clickseg(study: Path, output: Path) -> Float32Array:
    (series_files,) = group_by_series(scan(study).instances)
    series = load_volume(check_series(series_files, Repairs()))
    labels = LabelMap(_liver_mask(), is_overlapping=False, class_count=1)
    spec = ModelSpec.model_validate(phantoms.metadata())
    provenance = Provenance(Algorithm("benchmark", "1", "0" * 64, "", "f32"), datetime(2026, 1, 1))
    segmentation = make_segmentation(series, labels, spec, provenance, segmentation_type=SegmentationType.BINARY)
    if segmentation is not None:
        (output / f"{len(list(output.iterdir()))}.dcm").write_bytes(segmentation.content)
    return series.volume.array


def _run_sdk(study: Path, output: Path) -> Float32Array:
    fragment = Fragment()
    (sdk_study,) = DICOMDataLoaderOperator(fragment, input_folder=study).load_data_to_studies(study)
    (series,) = sdk_study.get_all_series()
    selected = StudySelectedSeries(sdk_study)
    selected.add_selected_series(SelectedSeries("ct", series))
    image = DICOMSeriesToVolumeOperator(fragment).convert_to_image([selected])
    description = SegmentDescription("hook", codes.SCT.Organ, codes.SCT.Liver, "benchmark", "1")
    writer = DICOMSegmentationWriterOperator(fragment, segment_descriptions=[description], output_folder=output)
    writer.create_dicom_seg(_liver_mask(), series, output)
    array: Float32Array = image.asnumpy()
    return array


def _liver_mask() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    labels = np.zeros(_SHAPE, np.uint8)
    labels[_LIVER] = 1
    return labels
