"""SEG and SR of synthetic results, and tools that check them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset

from clickseg.clicks.click import Clicks
from clickseg.core.label_map import LabelMap
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.measurements import MeasurementCache
from clickseg.models.spec import ModelSpec
from clickseg.results.identity import Algorithm, Document, Provenance
from clickseg.results.segmentation import SegmentationType, make_segmentation
from clickseg.results.structured_report import make_structured_report
from tests.helpers import phantoms

CLOCK = datetime(2026, 1, 2, 3, 4, 5)


@dataclass
class MadeResult:
    """A label map with its SEG, its SR, and both as encoded documents."""

    labels: LabelMap
    segmentation: hd.seg.Segmentation | None
    report: Dataset
    documents: tuple[Document[Any], ...]


def spec(*classes: dict[str, object], activation: str = "softmax") -> ModelSpec:
    """Returns a model with some classes; by default one class, the hook."""
    class_sections = list(classes) or [phantoms.organ("hook", 1)]
    section = phantoms.metadata(classes=class_sections, activation=activation, output_channels=len(class_sections) + 1)
    return ModelSpec.model_validate(section)


def hook_labels(series: SeriesVolume) -> LabelMap:
    """Returns a label map with the hook as class 1, on the grid of a series."""
    return LabelMap(phantoms.hook_volume(series.volume.get_geometry()).array.astype(np.uint8), False, 1)


def make_results(
    series: SeriesVolume,
    labels: LabelMap | None = None,
    model: ModelSpec | None = None,
    *,
    clicks: Clicks = Clicks(),  # noqa: B008 - frozen
    segmentation_type: SegmentationType = SegmentationType.BINARY,
    clock: datetime = CLOCK,
    provenance: Provenance | None = None,
) -> MadeResult:
    """Makes SEG and SR of a label map; by default of the hook."""
    labels, model = labels or hook_labels(series), model or spec()
    provenance = provenance or Provenance(Algorithm("test", "1.2.3", "ab" * 32, clicks.digest, "f32"), clock)
    seg = make_segmentation(series, labels, model, provenance, segmentation_type=segmentation_type)
    measurements = list(MeasurementCache(series).measure(labels).values())
    segmentation = None if seg is None else seg.dataset
    report = make_structured_report(series.sources, segmentation, measurements, clicks, model, provenance)
    return MadeResult(
        labels, segmentation, report.dataset, tuple(document for document in (seg, report) if document is not None)
    )


def dciodvfy_errors(path: Path, dciodvfy: str) -> list[str]:
    """Returns the errors that dciodvfy reports for a file."""
    ended = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True, errors="replace", check=False)
    return [line for line in ended.stderr.splitlines() if line.startswith("Error")]


def read_seg_mask(seg: Path, folder: Path) -> np.ndarray:
    """Returns the mask of a SEG with one segment, on the grid of its series."""
    sources = [plane.instance.text("SOPInstanceUID") for plane in phantoms.read_geometry(folder).stack.planes]
    pixels = hd.seg.segread(seg).get_pixels_by_source_instance(
        sources, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    return pixels[..., 0] > 0
