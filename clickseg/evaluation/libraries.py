"""What evaluation needs and segmentation does not: libraries that come with an extra."""

from __future__ import annotations

import importlib.util

from clickseg.errors import LibraryError

_MODULES = {
    "cc3d": "connected-components-3d",
    "edt": "edt",
    "matplotlib": "matplotlib",
    "surface_distance": "surface-distance-based-measures",
}
"""Packages by the modules that are imported."""


def check_libraries() -> None:
    """Refuses to begin where a library is missing.

    Raises:
        LibraryError: One is.
    """
    missing = [package for module, package in _MODULES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise LibraryError(f"not installed: {', '.join(missing)}", hint="pip install 'clickseg[train]'")
