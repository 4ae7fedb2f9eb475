"""Windows of real series, with their clicks, to calibrate a network on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing

from clickseg.arrays import Values
from clickseg.case import Prepared
from clickseg.engines.choice import Runtime, make_engine
from clickseg.engines.engine import Precision
from clickseg.errors import ClickSegError, InputError
from clickseg.incremental.live import Live
from clickseg.inference.kernel_choice import KernelChoice
from clickseg.inference.model_input import ModelInput
from clickseg.inference.sliding_window import SlidingWindow, constants_of
from clickseg.job import load_cases
from clickseg.plan import make_plan
from clickseg.preparation import prepare
from clickseg.progress import no_progress
from clickseg.settings import Settings

_WINDOWS = 64


def calibration_windows(settings: Settings) -> list[Values]:
    """Returns up to 64 windows of an input, evenly spaced; those of one value, such as air, are left out.

    Args:
        settings: As for a run; nothing is written.

    Raises:
        ClickSegError: The input cannot be segmented, or holds nothing but constant windows.
    """
    count = sum(1 for _ in _windows(settings))
    if not count:
        raise InputError(f"{settings.input.name}: every window is of one value: nothing to calibrate on")
    step = math.ceil(count / _WINDOWS)
    return [window for number, window in enumerate(_windows(settings)) if number % step == 0]


def _windows(settings: Settings) -> Iterator[Values]:
    for outcome in load_cases(make_plan(settings, clicks_follow=True)):
        if isinstance(outcome.value, ClickSegError):
            raise outcome.value
        prepared = prepare(outcome.value)
        inputs = _replayed(prepared, settings) if prepared.case.package.spec.previous_mask else prepared.inputs
        for channels in SlidingWindow(inputs, prepared.case.package.spec).channels():
            if constants_of(channels) is None:
                yield channels


def _replayed(prepared: Prepared, settings: Settings) -> ModelInput:
    """Returns what a model that is given its own result is given for the last click."""
    engine = make_engine(prepared.case.package, Runtime.OPENVINO, "cpu", Precision.F32, settings.cache)
    with closing(Live(prepared, engine, settings.memory, KernelChoice(settings.cache))) as live:
        live.run_all(prepared.case.clicks.points, no_progress)
        return live.inputs
