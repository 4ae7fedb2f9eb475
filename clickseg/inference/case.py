"""One run of a model on one series, as it goes through the steps: case, prepared, predicted, result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import highdicom as hd

from clickseg.clicks.click import Clicks
from clickseg.core.label_map import LabelMap
from clickseg.dicom.predecessor import EarlierResult
from clickseg.dicom.volume import Series
from clickseg.inference.measurements import Measured
from clickseg.inference.model_input import ModelInput
from clickseg.inference.postprocess import Removed
from clickseg.models.package import ModelPackage, Weights


@dataclass(frozen=True, slots=True)
class Case:
    """What one run of a model is about.

    Attributes:
        series: One series for each input of the model; the result refers to the first.
        clicks: The clicks, bound to the model's classes.
        package: The model, as it is for the modality of the reference series.
        earlier: Results of earlier runs for the reference series, the newest first.
    """

    series: tuple[Series, ...]
    clicks: Clicks
    package: ModelPackage
    earlier: tuple[EarlierResult, ...] = ()

    @property
    def reference(self) -> Series:
        """The series that the result refers to."""
        return self.series[0]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case on the model grid.

    Attributes:
        case: What it is of.
        inputs: Images and clicks.
        geometry: The model grid.
    """

    case: Case
    inputs: ModelInput
    geometry: hd.VolumeGeometry


@dataclass(frozen=True, slots=True)
class Windows:
    """How many windows there were.

    Attributes:
        count: All of them.
        repeated: Those that were not run, since an equal one had been.
        logits: Where they were blended: ``gpu``, ``memory``, or ``disk`` where they did not fit.
    """

    count: int
    repeated: int
    logits: str


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the network said.

    Attributes:
        case: What it is of.
        labels: The label map on the grid of the reference series.
        engine: The engine fingerprint.
        weights: The files that ran; the first holds the weights.
        windows: The windows that cover the model grid.
    """

    case: Case
    labels: LabelMap
    engine: Mapping[str, str | int]
    weights: tuple[Weights, ...]
    windows: Windows


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a case.

    Attributes:
        predicted: What the network said, with the label map as it is after postprocessing.
        removed: What postprocessing took away from each class; empty where it was switched off.
        measured: The measurements of each class that was found, by its number.
    """

    predicted: Predicted
    removed: tuple[Removed, ...]
    measured: Mapping[int, Measured]

    @property
    def case(self) -> Case:
        """What it is of."""
        return self.predicted.case

    @property
    def labels(self) -> LabelMap:
        """The label map on the grid of the reference series."""
        return self.predicted.labels
