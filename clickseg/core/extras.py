"""Libraries that come with an extra, for commands that need more than segmentation does."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from clickseg.core.errors import LibraryError

EVALUATION: Mapping[str, str] = {
    "edt": "edt",
    "jinja2": "Jinja2",
    "matplotlib": "matplotlib",
    "surface_distance": "surface-distance-based-measures",
}
"""What evaluation needs: packages by the modules that are imported."""

TRAINING: Mapping[str, str] = {
    "edt": "edt",
    "ignite": "pytorch-ignite",
    "jinja2": "Jinja2",
    "matplotlib": "matplotlib",
    "monai": "monai",
    "tensorboard": "tensorboard",
    "torch": "torch",
    "yaml": "PyYAML",
}
"""What training needs."""


def check_libraries(needed: Mapping[str, str]) -> None:
    """Refuses to begin where a library is missing.

    Args:
        needed: Packages by the modules that are imported.

    Raises:
        LibraryError: One is missing.
    """
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise LibraryError(f"not installed: {', '.join(missing)}", hint="pip install 'clickseg[train]'")
