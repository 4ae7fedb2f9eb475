"""ClickSeg: interactive segmentation of DICOM series with clicks; results are DICOM SEG and SR.

The public Python API. Each name is imported when it is first used. See docs/python.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clickseg.core.version import __version__

if TYPE_CHECKING:
    from clickseg.batch.segment import Results, segment
    from clickseg.clicks.click import Click, Polarity
    from clickseg.core.errors import ClickSegError
    from clickseg.dicom.read import read_series
    from clickseg.dicom.volume import SeriesVolume
    from clickseg.inference.model_sources import load_model
    from clickseg.models.package import ModelPackage
    from clickseg.session.session import Session

__all__ = [
    "Click",
    "ClickSegError",
    "ModelPackage",
    "Polarity",
    "Results",
    "SeriesVolume",
    "Session",
    "__version__",
    "load_model",
    "read_series",
    "segment",
]

_MODULES = {
    "Click": "clickseg.clicks.click",
    "ClickSegError": "clickseg.core.errors",
    "ModelPackage": "clickseg.models.package",
    "Polarity": "clickseg.clicks.click",
    "Results": "clickseg.batch.segment",
    "SeriesVolume": "clickseg.dicom.volume",
    "Session": "clickseg.session.session",
    "load_model": "clickseg.inference.model_sources",
    "read_series": "clickseg.dicom.read",
    "segment": "clickseg.batch.segment",
}
"""The module that defines each public name."""

_RENAMED = {"Model": "ModelPackage", "Series": "SeriesVolume"}
"""Public names of earlier versions, with their present names."""


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        raise AttributeError(f"{__name__}.{name} was renamed to {__name__}.{_RENAMED[name]}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # later look-ups do not call this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
