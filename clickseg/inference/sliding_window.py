"""Runs a network window by window, and blends the logits layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from clickseg.core.arrays import Box, Float32Array, Triple, bounding_box, full_box
from clickseg.core.progress import Progress
from clickseg.inference.engines.engine import Engine
from clickseg.inference.kernels import Kernels
from clickseg.inference.label_assignment import label_logit_channels, label_logits
from clickseg.inference.model_input import ImageBuffer, ModelInput, replicate_border
from clickseg.inference.stitching import PlaneBlock, SlabStitching, Stitching, StitchingFactory
from clickseg.inference.windows import Window, WindowGrid, importance_map
from clickseg.models.spec import ModelSpec


class LogitsStore(Protocol):
    """The logits of windows that were run before."""

    def has(self, window: Window) -> bool:
        """Whether the logits of a window are stored."""
        ...

    def get(self, window: Window) -> Float32Array | None:
        """Returns the label logits of a window [C, I, J, K]; None if the window must be run."""
        ...

    def put(self, window: Window, logits: Float32Array) -> None:
        """Stores a copy of the label logits of a window [C, I, J, K]; the caller reuses the array."""
        ...


class NullStore:
    """Stores nothing: each window is run whenever it is needed.

    Attributes:
        keys: Ignored; other stores need the key of each window's input here.
    """

    pending_bytes = 0

    def __init__(self) -> None:
        self.keys: Mapping[Triple, bytes] = {}

    def has(self, window: Window) -> bool:  # noqa: ARG002 - the same for every window
        """See ``LogitsStore``."""
        return False

    def get(self, window: Window) -> Float32Array | None:  # noqa: ARG002 - the same for every window
        """See ``LogitsStore``."""
        return None

    def put(self, window: Window, logits: Float32Array) -> None:
        """See ``LogitsStore``."""

    def close(self) -> None:
        """Does nothing."""


class SlidingWindow:
    """A window that slides over a volume; the network runs batches of the size that it was compiled for.

    A window whose channels are all constant, such as clipped air, reuses the output of the last window with the same
    constants.

    Attributes:
        grid: The windows.
        windows_reused: The number of windows that reused the output of an equal window.
        windows_run: The number of windows that were run.
    """

    def __init__(self, inputs: ModelInput, spec: ModelSpec, store: LogitsStore | None = None) -> None:
        """Computes the positions of the windows.

        Args:
            inputs: Images and clicks on the model grid.
            spec: The model: window size, overlap, weighting, and the channels for argmax or threshold.
            store: The logits of windows that were run before; None to run every window.
        """
        self.grid = WindowGrid.cover(inputs.shape, spec.window)
        self.windows_reused = self.windows_run = 0
        self._inputs, self._spec = inputs, spec
        self._store = store or NullStore()
        self._last_constant: _ConstantWindow | None = None
        self._images = ImageBuffer(inputs, self.grid.axis)

    @property
    def addition_count(self) -> int:
        """The number of logits that are added for all windows."""
        return len(self.grid) * math.prod(self.grid.roi) * label_logit_channels(self._spec)

    def window_inputs(self) -> Iterator[Float32Array]:
        """Yields the input of the network for each window [C + G + M, I, J, K], in grid order."""
        for layer in self.grid.layers():
            self._images.load(bounding_box(window.volume_box for window in layer.windows))
            yield from map(self._window_input, layer.windows)

    def blended_planes(
        self,
        engine: Engine,
        kernels: Kernels,
        progress: Progress,
        make_stitching: StitchingFactory = SlabStitching,
        box: Box | None = None,
    ) -> Iterator[PlaneBlock]:
        """Yields the blended label logits, in blocks of planes perpendicular to ``grid.axis``.

        The logits of a voxel are the mean over the windows that contain it, weighted by ``importance_map``.

        Args:
            engine: The network.
            kernels: The loops over voxels.
            progress: Called after each window.
            make_stitching: Makes the stitching, after the first window was run.
            box: The part of the volume that is blended, to the same bytes as the entire volume; None for all of it.

        Raises:
            EngineError: The network fails, or returns logits that are not finite numbers.
        """
        box = box or full_box(self.grid.shape)
        part = self.grid.restrict_to(box)
        stitching: Stitching | None = None
        done = self.windows_reused = self.windows_run = 0
        self._last_constant = None  # it may be the output of another network
        for layer in part.layers():
            for window, logits in zip(layer.windows, self._window_logits(engine, layer.windows, box), strict=True):
                stitching = stitching or make_stitching(
                    part, importance_map(self._spec.window), label_logit_channels(self._spec), kernels
                )
                stitching.add(window, logits)
                done += 1
                progress(done, len(part))
            yield from stitching.finish_planes(layer.stop) if stitching else ()

    def _window_logits(self, engine: Engine, windows: Sequence[Window], box: Box) -> Iterator[Float32Array]:
        """Yields the label logits of each window [C, I, J, K]: stored logits unchanged, the others computed in batches.

        Args:
            engine: The network.
            windows: Windows relative to ``box``, possibly clipped to it.
            box: The part of the volume that is blended.
        """
        i, j, k = (part.start for part in box)
        full_windows = [self.grid.window_at((w.start[0] + i, w.start[1] + j, w.start[2] + k)) for w in windows]
        is_stored = [self._store.has(window) for window in full_windows]
        missing = [window for window, stored in zip(full_windows, is_stored, strict=True) if not stored]
        if missing:
            self._images.load(bounding_box(window.volume_box for window in missing))
        computed = self._run_windows(engine, missing)
        for window, stored in zip(full_windows, is_stored, strict=True):
            logits = self._store.get(window) if stored else next(computed)
            # stored logits may have been removed in the meantime
            yield next(self._run_windows(engine, [window])) if logits is None else logits

    def _run_windows(self, engine: Engine, windows: Sequence[Window]) -> Iterator[Float32Array]:
        batches = self._make_batches(windows, engine.batch)
        for batch in batches if self._inputs.device.is_host else _look_ahead(batches):
            for window, logits in zip(batch.windows, self._run_batch(engine, batch), strict=True):
                self._store.put(window, logits)
                yield logits

    def _make_batches(self, windows: Sequence[Window], size: int) -> Iterator[_Batch]:
        for start in range(0, len(windows), size):
            part = windows[start : start + size]
            inputs = [self._window_input(window) for window in part]
            yield _Batch(part, inputs, [constant_channel_values(channels) for channels in inputs])

    def _window_input(self, window: Window) -> Float32Array:
        channels = self._inputs.window_input(window, self._images.get(window.volume_box))
        if self._spec.window.padding_mode == "replicate":
            return replicate_border(channels, window.local_box, self._inputs.device)
        return channels

    def _run_batch(self, engine: Engine, batch: _Batch) -> Iterator[Float32Array]:
        """Yields the label logits of the windows of a batch."""
        last = self._last_constant
        new = [number for number, values in enumerate(batch.constants) if last is None or values != last.values]
        outputs = iter(_infer_padded_batch(engine, [batch.inputs[number] for number in new]) if new else ())
        self.windows_run += len(new)
        for number, values in enumerate(batch.constants):
            if last is not None and number not in new:
                self.windows_reused += 1
                yield last.logits
                continue
            logits = label_logits(next(outputs), self._spec)
            if values is not None:
                self._last_constant = _ConstantWindow(values, logits.copy())
            yield logits


def _infer_padded_batch(engine: Engine, inputs: Sequence[Float32Array]) -> Float32Array:
    """Returns the logits of at most one batch of windows; a smaller batch is padded with copies of its first window."""
    if engine.batch == 1:
        return engine.infer(inputs[0][np.newaxis])
    return engine.infer(np.stack([*inputs, *[inputs[0]] * (engine.batch - len(inputs))]))


def _look_ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """Yields batches, each after the next one was made.

    To find constant windows, the host waits for values from the GPU. If the next batch is made before the network runs,
    the host does not wait for the network, and the GPU has no pause between two batches.
    """
    previous = next(batches, None)
    while previous is not None:
        following = next(batches, None)
        yield previous
        previous = following


class _Batch(NamedTuple):
    """At most one batch of windows: the input of each, and the channel values of those with constant input."""

    windows: Sequence[Window]
    inputs: Sequence[Float32Array]
    constants: Sequence[bytes | None]


class _ConstantWindow(NamedTuple):
    """The last window with constant channels: the values of its channels, and its label logits."""

    values: bytes
    logits: Float32Array


def constant_channel_values(channels: Float32Array) -> bytes | None:
    """Returns the value of each channel of a window [C, I, J, K] as bytes; None if a channel is not constant."""
    first = channels[:, 0, 0, 0]
    i, j, k = (count // 2 for count in channels.shape[1:])
    if (channels[:, i, j, k] != first).any():  # a quick test for most windows
        return None
    is_constant = all((channel == value).all() for channel, value in zip(channels, first, strict=True))
    return first.tobytes() if is_constant else None
