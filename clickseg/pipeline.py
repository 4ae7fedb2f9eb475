"""The whole job for one series: model grid, guidance, sliding window, classes, postprocessing."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import highdicom as hd

from clickseg.arrays import Values
from clickseg.case import Case, Predicted, Prepared, Result, Windows
from clickseg.clicks.click import Clicks
from clickseg.dicom.predecessor import EarlierResult
from clickseg.dicom.volume import Series
from clickseg.engines.engine import Engine
from clickseg.errors import DeviceMemoryError, ModelError
from clickseg.inference import guidance, intensity, resample
from clickseg.inference.binding import bind
from clickseg.inference.decision import Decision
from clickseg.inference.device import HOST, Device, device_of
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.inference.kernels import PlainKernels
from clickseg.inference.model_input import Image, ModelInput, Scaled, Whole
from clickseg.inference.postprocess import postprocess
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitch_choice import StitchChoice
from clickseg.label_map import LabelMap
from clickseg.memory import Memory, machine_limit_bytes
from clickseg.models.package import ModelPackage
from clickseg.models.spec import Scaling
from clickseg.progress import Progress, no_progress

logger = logging.getLogger(__name__)

_BLOCK = 16
"""How many planes of a volume are looked at together where its scaling depends on all of them."""


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

    Where a device's memory is full, smaller batches are tried, then blending on the host: the fingerprint names the
    batch, and ``windows.logits`` where they were blended.

    Raises:
        EngineError: The network fails.
        MemoryLimitError: The run would take more memory than it may.
    """
    said, hint = "", None
    for tried, device in _ways(engine):
        try:
            return _infer_on(device, prepared, tried, progress, choose_kernels, memory)
        except DeviceMemoryError as error:  # not kept: it would keep alive what was allocated
            said, hint = str(error), error.hint
        logger.warning("%s: going on with less of it", said)
    raise DeviceMemoryError(said, hint=hint)


def _ways(engine: Engine) -> Iterator[tuple[Engine, Device]]:
    """Yields ways to run a network, each of which needs less of a device's memory than the one before."""
    device = device_of(engine.device)
    yield engine, device
    device.release()  # only now is what the run before had allocated gone
    while (smaller := engine.smaller()) is not None:
        engine = smaller
        yield engine, device
        device.release()
    if not device.is_host:
        yield engine, HOST


def _infer_on(
    device: Device,
    prepared: Prepared,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> Predicted:
    with device.working():
        labels, counted = _decided(device, prepared, engine, progress, choose_kernels, memory)
    return Predicted(prepared.case, labels, engine.describe(), engine.weights, counted)


def _decided(
    device: Device,
    prepared: Prepared,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> tuple[LabelMap, Windows]:
    """Returns the label map, and how many windows there were; nothing else outlives it on the device."""
    spec, source = prepared.case.package.spec, prepared.case.reference.volume.get_geometry()
    window = SlidingWindow(prepared.inputs.on(device), spec)
    kernels = choose_kernels(window.additions) if device.is_host else PlainKernels()
    decision = Decision(prepared.geometry, source, spec, window.grid.axis, kernels, device)
    stitch = StitchChoice(memory, decision.bytes_needed, device)
    for planes in window.planes(engine, kernels, progress, stitch):
        decision.take(planes)
    return decision.label_map(), Windows(len(window.grid), window.repeated, stitch.place)


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
