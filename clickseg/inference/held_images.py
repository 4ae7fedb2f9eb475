"""The images of a layer of windows: what the layer before shared with it is moved on, and not made again."""

from __future__ import annotations

import numpy as np

from clickseg.arrays import Values
from clickseg.boxes import Box, around, cut, within
from clickseg.inference.model_input import ModelInput

_PLANES = 16
"""How many planes are made at once: what that takes beside them does not grow with the window."""

_NOWHERE: Box = (slice(0, 0), slice(0, 0), slice(0, 0))


class HeldImages:
    """A part of the image channels, on the device that they are on."""

    def __init__(self, inputs: ModelInput, axis: int) -> None:
        """Holds nothing yet.

        Args:
            inputs: The images.
            axis: The axis [I, J, K] along which one layer follows another.
        """
        self._inputs, self._axis = inputs, axis
        self._place = _NOWHERE
        self._held: Values | None = None

    def at(self, box: Box) -> Values:
        """Returns the images in a box [C, I, J, K]; they are the holder's until the next call."""
        held = self.hold(box)
        return held[(slice(None), *within(box, self._place))]

    def hold(self, box: Box) -> Values:
        """Makes ready what windows that lie in a box will ask for; returns what is held, that and maybe more."""
        if self._held is not None and around([box, self._place]) == self._place:
            return self._held
        before, was = self._held, self._place
        shape = (len(self._inputs.images), *(part.stop - part.start for part in box))
        fits = before is not None and before.shape == shape
        held = before if before is not None and fits else self._inputs.device.zeros(shape, np.float32)
        self._held, self._place = held, _NOWHERE  # what is interrupted holds nothing
        common = 0 if before is None else self._move(before, was, held, box)
        for first in range(box[self._axis].start + common, box[self._axis].stop, _PLANES):
            some = cut(box, self._axis, slice(first, min(first + _PLANES, box[self._axis].stop)))
            held[(slice(None), *within(some, box))] = self._inputs.part(some)
        self._place = box
        return held

    def _move(self, before: Values, was: Box, held: Values, box: Box) -> int:
        """Moves the planes that two boxes share to the front, and returns how many they are."""
        old, new = was[self._axis], box[self._axis]
        follows = old.start <= new.start < old.stop <= new.stop
        if not follows or cut(was, self._axis, new) != box:
            return 0
        source, target = (np.moveaxis(array, 1 + self._axis, 0) for array in (before, held))
        common: int = old.stop - new.start
        for first in range(0, common, _PLANES):
            stop, shift = min(first + _PLANES, common), new.start - old.start
            target[first:stop] = source[first + shift : stop + shift]
        return common
