"""The array types that travel through ClickSeg; shapes and axes are in the docstrings of the functions."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float32]
"""Image values, channels and logits."""

Doubles: TypeAlias = NDArray[np.floating[Any]]
"""Positions in mm, coordinates and factors."""

Indices: TypeAlias = NDArray[np.intp]
"""Voxel indices and counts."""

Integers: TypeAlias = NDArray[np.integer[Any]]
"""Numbers of components."""

Mask: TypeAlias = NDArray[np.bool_]
"""Where something is."""

Numbers: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""Class numbers, segment numbers, or bits of classes."""
