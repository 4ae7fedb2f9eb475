"""The network's part of a run: sliding window, classes, postprocessing, measurements."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from clickseg.core.device import HOST, Device, device_of
from clickseg.core.errors import DeviceMemoryError
from clickseg.core.label_map import LabelMap
from clickseg.core.memory import Memory
from clickseg.core.progress import Progress
from clickseg.inference.case import Predicted, Prepared, Result, Windows
from clickseg.inference.decision import Decision, deciding_channels
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental import IncrementalInference
from clickseg.inference.kernels import KernelChoice, PlainKernels
from clickseg.inference.measurements import Measures
from clickseg.inference.postprocess import Removed, postprocess
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching_choice import StitchChoice

logger = logging.getLogger(__name__)


def infer(
    prepared: Prepared, engine: Engine, progress: Progress, choose_kernels: KernelChoice, memory: Memory
) -> Predicted:
    """Runs the network window by window, and decides the class of each voxel of the reference series.

    Where a device's memory is full, smaller batches are tried, then blending on the host: the fingerprint names the
    batch, and ``windows.logits`` where they were blended.

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
    said, hint = "", None
    for tried, device in _memory_fallbacks(engine):
        try:
            return _infer_on(device, prepared, tried, progress, choose_kernels, memory)
        except DeviceMemoryError as error:  # not kept: it would keep alive what was allocated
            said, hint = str(error), error.hint
        logger.warning("%s: going on with less of it", said)
    raise DeviceMemoryError(said, hint=hint)


def _memory_fallbacks(engine: Engine) -> Iterator[tuple[Engine, Device]]:
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
        labels, counted = _predict_labels(device, prepared, engine, progress, choose_kernels, memory)
    return Predicted(prepared.case, labels, engine.describe(), engine.weights, counted)


def _predict_labels(
    device: Device,
    prepared: Prepared,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> tuple[LabelMap, Windows]:
    """Returns the label map, and how many windows there were; nothing else outlives it on the device."""
    spec, source = prepared.case.package.spec, prepared.case.reference.volume.get_geometry()
    if spec.previous_mask:
        with closing(IncrementalInference(prepared, engine, memory, choose_kernels, device=device)) as inference:
            inference.run_all(prepared.case.clicks.points, progress)
            return inference.labels, Windows(len(inference.grid), inference.repeated, inference.logits_at)
    window = SlidingWindow(prepared.inputs.on(device), spec)
    kernels = choose_kernels(window.additions) if device.is_host else PlainKernels()
    decision = Decision(prepared.geometry, source, spec, window.grid.axis, kernels, device)
    stitch = StitchChoice(memory, decision.bytes_needed, device)
    stitch.check(window.grid, deciding_channels(spec))
    for planes in window.planes(engine, kernels, progress, stitch):
        decision.take(planes)
    return decision.label_map(), Windows(len(window.grid), window.repeated, stitch.place)


def finish(predicted: Predicted, *, postprocessing: bool) -> Result:
    """Applies the package's postprocessing, unless it is switched off, and measures what is left."""
    case, labels = predicted.case, predicted.labels
    removed: tuple[Removed, ...] = ()
    if postprocessing:
        labels, removed = postprocess(labels, case.reference.volume, case.clicks.points, case.package.spec)
    return Result(replace(predicted, labels=labels), removed, Measures(case.reference).of(labels))
