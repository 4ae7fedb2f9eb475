"""Libraries that come with an extra, for the commands that need more libraries than segmentation."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from clickseg.core.errors import LibraryError

EVALUATION_PACKAGES: Mapping[str, str] = {
    "edt": "edt",
    "jinja2": "Jinja2",
    "matplotlib": "matplotlib",
    "surface_distance": "surface-distance-based-measures",
}
"""Libraries for evaluation: the names of packages by the modules that are imported from them."""

TRAINING_PACKAGES: Mapping[str, str] = {
    "edt": "edt",
    "ignite": "pytorch-ignite",
    "jinja2": "Jinja2",
    "matplotlib": "matplotlib",
    "monai": "monai",
    "tensorboard": "tensorboard",
    "torch": "torch",
    "yaml": "PyYAML",
}
"""Libraries for training, likewise."""


CHECK_PACKAGES: Mapping[str, str] = {
    "ignite": "pytorch-ignite",
    "monai": "monai",
    "nibabel": "nibabel",
    "torch": "torch",
    "yaml": "PyYAML",
}
"""Libraries that run the original pipeline of a model, likewise."""


def check_libraries(packages: Mapping[str, str], extra: str = "train") -> None:
    """Checks that libraries are installed.

    Args:
        packages: The names of packages by the modules that are imported from them.
        extra: The extra of ClickSeg that installs them.

    Raises:
        LibraryError: A library is not installed.
    """
    missing = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise LibraryError(
            f"required libraries are not installed: {', '.join(missing)}", hint=f"pip install 'clickseg[{extra}]'"
        )
