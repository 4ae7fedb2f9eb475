"""The inference steps of a run: sliding window, label assignment, postprocessing, measurements."""

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
    preprocessed: Prepared, engine: Engine, progress: Progress, choose_kernels: KernelChoice, memory: Memory
) -> Predicted:
    """Runs the network window by window, and labels the voxels of the reference series.

    If a device runs out of memory, smaller batches are tried, then blending on the host. The engine fingerprint
    contains the batch size; ``windows.logits`` states where the logits were blended.

    Args:
        preprocessed: The case on the model grid.
        engine: The network.
        progress: Called after each window.
        choose_kernels: Chooses the loops over voxels.
        memory: The memory that the run may use.

    Raises:
        EngineError: The network fails.
        MemoryLimitError: The run needs more memory than it may use.
    """
    message, hint = "", None
    for candidate, device in _memory_fallbacks(engine):
        try:
            return _infer_on(device, preprocessed, candidate, progress, choose_kernels, memory)
        except DeviceMemoryError as error:  # not stored: its traceback would keep the device arrays alive
            message, hint = str(error), error.hint
        logger.warning("%s: trying again with less device memory", message)
    raise DeviceMemoryError(message, hint=hint)


def _memory_fallbacks(engine: Engine) -> Iterator[tuple[Engine, Device]]:
    """Yields engines and blending devices, each of which needs less device memory than the one before."""
    device = device_of(engine.device)
    yield engine, device
    device.release()  # only now are the arrays of the failed run unreferenced
    while (smaller := engine.smaller()) is not None:
        engine = smaller
        yield engine, device
        device.release()
    if not device.is_host:
        yield engine, HOST


def _infer_on(
    device: Device,
    preprocessed: Prepared,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> Predicted:
    with device.working():
        labels, windows = _predict_labels(device, preprocessed, engine, progress, choose_kernels, memory)
    return Predicted(preprocessed.case, labels, engine.describe(), engine.weights, windows)


def _predict_labels(
    device: Device,
    preprocessed: Prepared,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> tuple[LabelMap, Windows]:
    """Returns the label map and the window summary; no other array stays on the device."""
    spec, source = preprocessed.case.package.spec, preprocessed.case.reference.volume.get_geometry()
    if spec.previous_mask:
        with closing(IncrementalInference(preprocessed, engine, memory, choose_kernels, device=device)) as inference:
            inference.run_all(preprocessed.case.clicks.points, progress)
            return inference.labels, Windows(len(inference.grid), inference.repeated, inference.logits_at)
    window = SlidingWindow(preprocessed.inputs.on(device), spec)
    kernels = choose_kernels(window.additions) if device.is_host else PlainKernels()
    decision = Decision(preprocessed.geometry, source, spec, window.grid.axis, kernels, device)
    make_stitching = StitchChoice(memory, decision.bytes_needed, device)
    make_stitching.check(window.grid, deciding_channels(spec))
    for planes in window.planes(engine, kernels, progress, make_stitching):
        decision.take(planes)
    return decision.label_map(), Windows(len(window.grid), window.repeated, make_stitching.place)


def finish(predicted: Predicted, *, postprocessing: bool) -> Result:
    """Applies the package's postprocessing, unless it is switched off, and measures the segments."""
    case, labels = predicted.case, predicted.labels
    removed: tuple[Removed, ...] = ()
    if postprocessing:
        labels, removed = postprocess(labels, case.reference.volume, case.clicks.points, case.package.spec)
    return Result(replace(predicted, labels=labels), removed, Measures(case.reference).of(labels))
