"""The data of one model run on one series: ``Case``, ``PreprocessedCase``, ``PredictedCase``, ``CaseResult``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import highdicom as hd

from clickseg.clicks.click import Clicks
from clickseg.core.label_map import LabelMap
from clickseg.dicom.predecessor import Predecessor
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.measurements import SegmentMeasurements
from clickseg.inference.model_grid import GridLabels, ModelGrid
from clickseg.inference.model_input import ModelInput
from clickseg.inference.postprocess import Removal
from clickseg.models.package import ModelPackage, WeightsFile


@dataclass(frozen=True, slots=True)
class Case:
    """The input of one model run.

    Attributes:
        series: One series for each input of the model; the result refers to the first.
        clicks: The clicks, bound to the model's classes.
        package: The model, configured for the modality of the reference series.
        predecessors: Results of earlier runs for the reference series, sorted from newest to oldest.
    """

    series: tuple[SeriesVolume, ...]
    clicks: Clicks
    package: ModelPackage
    predecessors: tuple[Predecessor, ...] = ()

    @property
    def reference_series(self) -> SeriesVolume:
        """The series that the result refers to."""
        return self.series[0]


@dataclass(frozen=True, slots=True)
class PreprocessedCase:
    """A case on the model grid.

    Attributes:
        case: The case.
        inputs: Images and clicks on the model grid.
        grid: The model grid, and where it is in the reference series.
    """

    case: Case
    inputs: ModelInput
    grid: ModelGrid

    @property
    def geometry(self) -> hd.VolumeGeometry:
        """The model grid [I, J, K], in LPS mm."""
        return self.grid.geometry


@dataclass(frozen=True, slots=True)
class WindowSummary:
    """The number of windows, and where their logits were blended.

    Attributes:
        count: The number of windows.
        reused: The number of windows with constant input that reused the output of an equal window.
        logits_storage: Where the logits were blended: ``gpu``, ``memory``, or ``disk`` if memory was too small.
    """

    count: int
    reused: int
    logits_storage: str


@dataclass(frozen=True, slots=True)
class PredictedCase:
    """The output of the network for a case.

    Attributes:
        case: The case.
        labels: The label map on the grid of the reference series [K, J, I].
        engine: The engine fingerprint.
        weights: The files of the network; the first contains the weights.
        windows: A summary of the windows that cover the model grid.
        on_grid: The model grid, and the labels on it; None after postprocessing.
    """

    case: Case
    labels: LabelMap
    engine: Mapping[str, str | int]
    weights: tuple[WeightsFile, ...]
    windows: WindowSummary
    on_grid: GridLabels | None = None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The final result of a case.

    Attributes:
        prediction: The output of the network, with the label map after postprocessing.
        removed: What postprocessing removed from each class; empty if it was switched off.
        measurements: The measurements of each segment, by class number.
    """

    prediction: PredictedCase
    removed: tuple[Removal, ...]
    measurements: Mapping[int, SegmentMeasurements]

    @property
    def case(self) -> Case:
        """The case."""
        return self.prediction.case

    @property
    def labels(self) -> LabelMap:
        """The label map on the grid of the reference series."""
        return self.prediction.labels
