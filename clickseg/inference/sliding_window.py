"""Running a network window by window, and blending what it says, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from clickseg.core.arrays import Box, Triple, Values, around, whole
from clickseg.core.progress import Progress
from clickseg.inference.decision import label_logits, deciding_channels
from clickseg.inference.engines.engine import Engine
from clickseg.inference.kernels import Kernels
from clickseg.inference.model_input import ImageBuffer, ModelInput
from clickseg.inference.stitching import MakeStitching, PlaneBlock, Slab, Stitching
from clickseg.inference.windows import Window, WindowGrid, importance_map
from clickseg.models.spec import ModelSpec


class LogitsStore(Protocol):
    """What the network said of windows before."""

    def has(self, window: Window) -> bool:
        """Whether it is known of a window."""
        ...

    def get(self, window: Window) -> Values | None:
        """Returns what decides of a window's logits [C, I, J, K]; None where it must be run."""
        ...

    def put(self, window: Window, logits: Values) -> None:
        """Takes what decides of a window's logits, which are the caller's."""
        ...


class NullStore:
    """Keeps nothing: each window is run whenever it is needed.

    Attributes:
        keys: Ignored; as of the stores that keep logits by what each window is given.
    """

    bytes_to_come = 0

    def __init__(self) -> None:
        self.keys: Mapping[Triple, bytes] = {}

    def has(self, window: Window) -> bool:  # noqa: ARG002 - of any window
        """See ``Kept``."""
        return False

    def get(self, window: Window) -> Values | None:  # noqa: ARG002 - of any window
        """See ``Kept``."""
        return None

    def put(self, window: Window, logits: Values) -> None:
        """See ``Kept``."""

    def close(self) -> None:
        """Has nothing to free."""


class SlidingWindow:
    """A volume, a window at a time; a network is given them in batches of the size that it was compiled for.

    A window of constant channels, such as air that was clipped, says what the last one of the same constants said, and
    is not run again.

    Attributes:
        grid: The windows.
        repeated: How many windows were not run, since an equal one had been.
        ran: How many windows were run.
    """

    def __init__(self, inputs: ModelInput, spec: ModelSpec, kept: LogitsStore | None = None) -> None:
        """Lays the windows.

        Args:
            inputs: Images and clicks on the model grid.
            spec: The window, its overlap, how it is weighted, and the channels that decide.
            kept: What the network said of these windows before.
        """
        self.grid = WindowGrid.over(inputs.shape, spec.window)
        self.repeated = self.ran = 0
        self._inputs, self._spec = inputs, spec
        self._kept = kept or NullStore()
        self._constant: _ConstantWindow | None = None
        self._images = ImageBuffer(inputs, self.grid.axis)

    @property
    def additions(self) -> int:
        """How many logits are added up."""
        return len(self.grid) * math.prod(self.grid.roi) * deciding_channels(self._spec)

    def channels(self) -> Iterator[Values]:
        """Yields what the network is given for each window [C + G, I, J, K], in grid order."""
        for layer in self.grid.layers():
            self._images.load(around(window.place for window in layer.windows))
            yield from map(self._window_input, layer.windows)

    def planes(
        self,
        engine: Engine,
        kernels: Kernels,
        progress: Progress,
        make_stitching: MakeStitching = Slab,
        box: Box | None = None,
    ) -> Iterator[PlaneBlock]:
        """Yields the blended logits of the channels that decide, in blocks of planes across ``grid.axis``.

        At each voxel they are the mean over the windows that hold it, weighted by ``importance``.

        Args:
            engine: The network.
            kernels: The loops over voxels.
            progress: Told after each window.
            make_stitching: Makes what blends the windows, when the first one was run.
            box: The part of the volume that is blended, to the same bytes as all of it; None for all of it.

        Raises:
            EngineError: The network fails, or gives values that are no finite numbers.
        """
        box = box or whole(self.grid.shape)
        part = self.grid.restrict_to(box)
        stitching: Stitching | None = None
        done = self.repeated = self.ran = 0
        self._constant = None  # what another network said
        for layer in part.layers():
            for window, logits in zip(layer.windows, self._window_logits(engine, layer.windows, box), strict=True):
                stitching = stitching or make_stitching(
                    part, importance_map(self._spec.window), deciding_channels(self._spec), kernels
                )
                stitching.add(window, logits)
                done += 1
                progress(done, len(part))
            yield from stitching.finish_planes(layer.stop) if stitching else ()

    def _window_logits(self, engine: Engine, windows: Sequence[Window], box: Box) -> Iterator[Values]:
        """Yields what decides of each window's logits: kept ones as they are, the others in batches."""
        i, j, k = (part.start for part in box)
        wholes = [self.grid.window_at((w.start[0] + i, w.start[1] + j, w.start[2] + k)) for w in windows]
        is_known = [self._kept.has(window) for window in wholes]
        unknown = [window for window, known in zip(wholes, is_known, strict=True) if not known]
        if unknown:
            self._images.load(around(window.place for window in unknown))
        run = self._run_windows(engine, unknown)
        for window, known in zip(wholes, is_known, strict=True):
            logits = self._kept.get(window) if known else next(run)
            yield next(self._run_windows(engine, [window])) if logits is None else logits  # it may have gone meanwhile

    def _run_windows(self, engine: Engine, windows: Sequence[Window]) -> Iterator[Values]:
        size = engine.batch
        for start in range(0, len(windows), size):
            some = windows[start : start + size]
            channels = [self._window_input(window) for window in some]
            constants = [constants_of(each) for each in channels]
            for window, logits in zip(some, self._run_batch(engine, channels, constants), strict=True):
                self._kept.put(window, logits)
                yield logits

    def _window_input(self, window: Window) -> Values:
        return self._inputs.window(window, self._images.get(window.place))

    def _run_batch(
        self, engine: Engine, channels: Sequence[Values], constants: Sequence[bytes | None]
    ) -> Iterator[Values]:
        """Yields the logits of up to a batch of windows; a short batch is filled up, never shrunk."""
        known = self._constant
        new = [n for n, each in enumerate(constants) if known is None or each != known.values]
        logits = iter(_infer_padded_batch(engine, [channels[n] for n in new]) if new else ())
        self.ran += len(new)
        for number, each in enumerate(constants):
            if known is not None and number not in new:
                self.repeated += 1
                yield known.logits
                continue
            said = label_logits(next(logits), self._spec)
            if each is not None:
                self._constant = _ConstantWindow(each, said.copy())
            yield said


def _infer_padded_batch(engine: Engine, channels: Sequence[Values]) -> Values:
    """Returns the logits of up to a batch of windows."""
    if engine.batch == 1:
        return engine.infer(channels[0][np.newaxis])
    return engine.infer(np.stack([*channels, *[channels[0]] * (engine.batch - len(channels))]))


class _ConstantWindow(NamedTuple):
    """The last window of constant channels: their values, and what the network said."""

    values: bytes
    logits: Values


def constants_of(channels: Values) -> bytes | None:
    """Returns the value of each channel of a window [C, I, J, K], if each has just one."""
    first = channels[:, 0, 0, 0]
    i, j, k = (count // 2 for count in channels.shape[1:])
    if (channels[:, i, j, k] != first).any():
        return None
    is_constant = all((channel == value).all() for channel, value in zip(channels, first, strict=True))
    return first.tobytes() if is_constant else None
