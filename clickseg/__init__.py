"""ClickSeg: DICOM series and clicks in, sliding-window segmentation guided by clicks, DICOM SEG out.

The public API; each name is imported when it is first used. docs/python.md describes it.
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
    from clickseg.dicom.volume import Series
    from clickseg.models.find import load_model
    from clickseg.models.package import ModelPackage as Model
    from clickseg.session.session import Session

__all__ = [
    "Click",
    "ClickSegError",
    "Model",
    "Polarity",
    "Results",
    "Series",
    "Session",
    "__version__",
    "load_model",
    "read_series",
    "segment",
]

_PLACES = {
    "Click": ("clickseg.clicks.click", "Click"),
    "ClickSegError": ("clickseg.core.errors", "ClickSegError"),
    "Model": ("clickseg.models.package", "ModelPackage"),
    "Polarity": ("clickseg.clicks.click", "Polarity"),
    "Results": ("clickseg.batch.segment", "Results"),
    "Series": ("clickseg.dicom.volume", "Series"),
    "Session": ("clickseg.session.session", "Session"),
    "load_model": ("clickseg.models.find", "load_model"),
    "read_series": ("clickseg.dicom.read", "read_series"),
    "segment": ("clickseg.batch.segment", "segment"),
}
"""The module of each name, and its name there."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value  # from now on found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
