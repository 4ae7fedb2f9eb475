"""The inference steps of a run: sliding window, label assignment, postprocessing, measurements."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from clickseg.core.device import HOST, Device, array_device
from clickseg.core.errors import DeviceMemoryError
from clickseg.core.label_map import LabelMap
from clickseg.core.memory import Memory
from clickseg.core.progress import Progress
from clickseg.inference.case import CaseResult, PredictedCase, PreprocessedCase, WindowSummary
from clickseg.inference.engines.engine import Engine
from clickseg.inference.incremental import IncrementalInference
from clickseg.inference.kernels import KernelChoice, NumpyKernels
from clickseg.inference.label_assignment import label_logit_channels, make_assigners
from clickseg.inference.measurements import MeasurementCache
from clickseg.inference.model_grid import GridLabels
from clickseg.inference.postprocess import Removal, postprocess
from clickseg.inference.sliding_window import SlidingWindow
from clickseg.inference.stitching_choice import StitchingChoice

logger = logging.getLogger(__name__)


def infer(
    preprocessed: PreprocessedCase, engine: Engine, progress: Progress, choose_kernels: KernelChoice, memory: Memory
) -> PredictedCase:
    """Runs the network window by window, and labels the voxels of the reference series.

    If a device runs out of memory, smaller batches are tried, then blending on the host. The engine fingerprint
    contains the batch size; ``windows.logits_storage`` states where the logits were blended.

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
    for fallback_engine, device in _memory_fallbacks(engine):
        try:
            return _infer_on_device(device, preprocessed, fallback_engine, progress, choose_kernels, memory)
        except DeviceMemoryError as error:  # not stored: its traceback would keep the device arrays alive
            message, hint = str(error), error.hint
        logger.warning("%s: trying again with less device memory", message)
    raise DeviceMemoryError(message, hint=hint)


def _memory_fallbacks(engine: Engine) -> Iterator[tuple[Engine, Device]]:
    """Yields engines and blending devices, each of which needs less device memory than the one before."""
    device = array_device(engine.device)
    yield engine, device
    device.free_cached_memory()  # only now are the arrays of the failed run unreferenced
    while (smaller := engine.with_half_batch()) is not None:
        engine = smaller
        yield engine, device
        device.free_cached_memory()
    if not device.is_host:
        yield engine, HOST


def _infer_on_device(
    device: Device,
    preprocessed: PreprocessedCase,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> PredictedCase:
    with device.activate():
        labels, on_grid, windows = _predict_labels(device, preprocessed, engine, progress, choose_kernels, memory)
    return PredictedCase(preprocessed.case, labels, engine.describe(), engine.weights, windows, on_grid)


def _predict_labels(
    device: Device,
    preprocessed: PreprocessedCase,
    engine: Engine,
    progress: Progress,
    choose_kernels: KernelChoice,
    memory: Memory,
) -> tuple[LabelMap, GridLabels, WindowSummary]:
    """Returns the label map, labels on the model grid and the window summary; no other array stays on the device."""
    spec = preprocessed.case.package.spec
    if spec.previous_mask:
        with closing(IncrementalInference(preprocessed, engine, memory, choose_kernels, device=device)) as inference:
            inference.run_all(preprocessed.case.clicks.points, progress)
            windows = WindowSummary(len(inference.grid), inference.windows_reused, inference.logits_storage)
            return inference.labels, inference.on_grid, windows
    window = SlidingWindow(preprocessed.inputs.to_device(device), spec)
    kernels = choose_kernels(window.addition_count) if device.is_host else NumpyKernels()
    assigners = make_assigners(preprocessed.grid, spec, window.grid.axis, kernels, device, memory)
    make_stitching = StitchingChoice(memory, sum(assigner.bytes_needed for assigner in assigners), device)
    make_stitching.check(window.grid, label_logit_channels(spec))
    for planes in window.blended_planes(engine, kernels, progress, make_stitching):
        for assigner in assigners:
            assigner.update(planes)
    labels, *model_labels = (assigner.label_map() for assigner in assigners)
    on_grid = GridLabels(preprocessed.grid, *model_labels)
    return labels, on_grid, WindowSummary(len(window.grid), window.windows_reused, make_stitching.storage)


def postprocess_and_measure(predicted: PredictedCase, *, postprocessing: bool) -> CaseResult:
    """Applies the package's postprocessing, unless it is switched off, and measures the segments."""
    case, labels = predicted.case, predicted.labels
    removed: tuple[Removal, ...] = ()
    if postprocessing:
        volume, clicks = case.reference_series.volume, case.clicks.points
        labels, removed = postprocess(labels, volume, clicks, case.package.spec, predicted.on_grid)
    prediction = replace(predicted, labels=labels, on_grid=None)
    return CaseResult(prediction, removed, MeasurementCache(case.reference_series).measure(labels))
