"""The whole job for one series: model grid, guidance, sliding window, classes, postprocessing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import highdicom as hd

from clickseg.arrays import Values
from clickseg.clicks.click import Clicks
from clickseg.dicom.predecessor import EarlierResult
from clickseg.dicom.volume import Series
from clickseg.engines.engine import Engine
from clickseg.errors import ModelError
from clickseg.inference import guidance, intensity, resample
from clickseg.inference.binding import bind
from clickseg.inference.decision import Decision
from clickseg.inference.device import Device, device_of
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.inference.kernels import PlainKernels
from clickseg.inference.model_input import Image, ModelInput, Scaled, Whole
from clickseg.inference.postprocess import Removed, postprocess
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitch_choice import StitchChoice
from clickseg.label_map import LabelMap
from clickseg.memory import Memory, machine_limit_bytes
from clickseg.models.package import ModelPackage, Weights
from clickseg.models.spec import Scaling
from clickseg.progress import Progress, no_progress

_BLOCK = 16
"""How many planes of a volume are looked at together where its scaling depends on all of them."""


@dataclass(frozen=True, slots=True)
class Case:
    """What one run of a model is about.

    Attributes:
        series: One series for each input of the model; the result refers to the first.
        clicks: The clicks, bound to the model's classes.
        package: The model.
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
    """

    predicted: Predicted
    removed: tuple[Removed, ...]

    @property
    def case(self) -> Case:
        """What it is of."""
        return self.predicted.case

    @property
    def labels(self) -> LabelMap:
        """The label map on the grid of the reference series."""
        return self.predicted.labels


def segment(
    series: Sequence[Series],
    clicks: Clicks,
    package: ModelPackage,
    engine: Engine,
    *,
    postprocessing: bool = True,
    progress: Progress = no_progress,
) -> Result:
    """Segments a series, guided by clicks.

    Args:
        series: One series for each input of the model; the result refers to the first.
        clicks: Clicks in LPS mm; may be empty.
        package: The model.
        engine: Its network, loaded.
        postprocessing: Whether the package's postprocessing is applied.
        progress: Told after each window.

    Raises:
        ClickError: A click does not belong to the series or the model.
        ModelError: A series is not what the model takes.
    """
    case = make_case(series, clicks, package)
    memory = Memory(machine_limit_bytes(), Path(tempfile.gettempdir()))
    predicted = infer(prepare(case), engine, progress, KernelChoice(), memory)
    return finish(predicted, postprocessing=postprocessing)


def make_case(
    series: Sequence[Series], clicks: Clicks, package: ModelPackage, earlier: tuple[EarlierResult, ...] = ()
) -> Case:
    """Checks that series and clicks are what a model takes.

    Raises:
        ClickError: A click does not belong to the series or the model.
        ModelError: A series is of another modality or unit.
    """
    for each, spec in zip(series, package.spec.inputs, strict=True):
        if (each.candidate.modality, each.unit) != (spec.modality, spec.unit):
            raise ModelError(
                f"model {package.name}: input {spec.name}: expected {spec.modality} {spec.unit}, got "
                f"{each.candidate.modality} {each.unit}"
            )
    reference = series[0]
    bound = bind(clicks, package.spec, reference.volume.get_geometry(), reference.candidate.series_uid)
    return Case(tuple(series), bound, package, earlier)


def prepare(case: Case) -> Prepared:
    """Brings a case to the model grid: images resampled and scaled, clicks drawn."""
    spec = case.package.spec
    geometry = resample.model_geometry(case.reference.volume.get_geometry(), spec.grid)
    images = tuple(
        _scaled(_on_grid(series, case, geometry), each.scaling)
        for series, each in zip(case.series, spec.inputs, strict=True)
    )
    balls = guidance.balls(case.clicks.points, geometry, spec.guidance) if spec.guidance else ()
    return Prepared(case, ModelInput(images, balls), geometry)


def infer(
    prepared: Prepared, engine: Engine, progress: Progress, choose_kernels: KernelChoice, memory: Memory
) -> Predicted:
    """Runs the network window by window, and decides the class of each voxel of the reference series.

    Args:
        prepared: The case on the model grid.
        engine: The network.
        progress: Told after each window.
        choose_kernels: The loops over voxels.
        memory: What the run may take.

    Raises:
        EngineError: The network fails.
        MemoryLimitError: The run would take more memory than it may.
    """
    return _infer_on(device_of(engine.device), prepared, engine, progress, choose_kernels, memory)


def _infer_on(
    device: Device,
    prepared: Prepared,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> Predicted:
    case = prepared.case
    spec = case.package.spec
    with device.working():
        window = SlidingWindow(prepared.inputs.on(device), spec)
        kernels = choose_kernels(window.additions) if device.is_host else PlainKernels()
        source = case.reference.volume.get_geometry()
        decision = Decision(prepared.geometry, source, spec, window.grid.axis, kernels, device)
        stitch = StitchChoice(memory, decision.bytes_needed, device)
        for planes in window.planes(engine, kernels, progress, stitch):
            decision.take(planes)
    counted = Windows(len(window.grid), window.repeated, stitch.place)
    return Predicted(case, decision.label_map(), engine.describe(), engine.weights, counted)


def finish(predicted: Predicted, *, postprocessing: bool) -> Result:
    """Applies the package's postprocessing, unless it is switched off."""
    if not postprocessing:
        return Result(predicted, ())
    case = predicted.case
    labels, removed = postprocess(predicted.labels, case.reference.volume, case.clicks.points, case.package.spec)
    return Result(replace(predicted, labels=labels), removed)


def _on_grid(series: Series, case: Case, geometry: hd.VolumeGeometry) -> Image:
    """Returns a series on the model grid: the reference along its own axes, another one wherever it lies."""
    if series is case.reference:
        return resample.OnModelGrid(series.volume, case.package.spec.grid)
    return Whole(resample.to_geometry(series.volume, geometry))


def _scaled(image: Image, scaling: Scaling) -> Scaled:
    def blocks() -> Iterator[Values]:
        for first in range(0, image.shape[0], _BLOCK):
            yield image.planes(0, first, min(first + _BLOCK, image.shape[0]))

    return Scaled(image, intensity.fitted(scaling, blocks))
