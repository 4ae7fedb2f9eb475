"""A full run on series in memory with a loaded engine: the reference for tests and benchmarks of sessions."""

from __future__ import annotations

from collections.abc import Sequence

from clickseg.clicks.click import Clicks
from clickseg.core.memory import machine_memory
from clickseg.core.progress import no_progress
from clickseg.dicom.volume import Series
from clickseg.inference.case import Result
from clickseg.inference.engines.engine import Engine
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.pipeline import finish, infer
from clickseg.inference.preprocess import make_case, prepare
from clickseg.models.package import ModelPackage


def segment_series(
    series: Sequence[Series], clicks: Clicks, package: ModelPackage, engine: Engine, *, postprocessing: bool = True
) -> Result:
    """Returns the result of a full run; ``series`` contains one series for each input of the model."""
    preprocessed = prepare(make_case(series, clicks, package))
    predicted = infer(preprocessed, engine, no_progress, KernelChoice(), machine_memory())
    return finish(predicted, postprocessing=postprocessing)
