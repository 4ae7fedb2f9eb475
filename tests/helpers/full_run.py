"""A full run on series in memory with a loaded engine: the reference for tests and benchmarks of sessions."""

from __future__ import annotations

from collections.abc import Sequence

from clickseg.clicks.click import Clicks
from clickseg.core.memory import machine_memory
from clickseg.core.progress import no_progress
from clickseg.dicom.volume import SeriesVolume
from clickseg.inference.case import CaseResult
from clickseg.inference.engines.engine import Engine
from clickseg.inference.kernels import KernelChoice
from clickseg.inference.pipeline import infer, postprocess_and_measure
from clickseg.inference.preprocess import make_case, preprocess
from clickseg.models.package import ModelPackage


def segment_series(
    series: Sequence[SeriesVolume],
    clicks: Clicks,
    package: ModelPackage,
    engine: Engine,
    *,
    postprocessing: bool = True,
) -> CaseResult:
    """Returns the result of a full run; ``series`` contains one series for each input of the model."""
    preprocessed = preprocess(make_case(series, clicks, package))
    predicted = infer(preprocessed, engine, no_progress, KernelChoice(), machine_memory())
    return postprocess_and_measure(predicted, postprocessing=postprocessing)
