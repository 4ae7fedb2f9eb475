"""The engine of a session: one that the session loads, or one that several sessions share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from clickseg.core.errors import SessionError
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine
from clickseg.inference.runtime_settings import default_runtime_settings
from clickseg.models.package import ModelPackage


@contextmanager
def open_engine(model: ModelPackage, device: str, shared: Engine | None) -> Iterator[Engine]:
    """Yields a shared engine, which stays open, or loads an engine and closes it afterwards.

    Args:
        model: The model.
        device: Where the model runs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        shared: A loaded engine of the model; None to load one.

    Raises:
        EngineError: No runtime on this machine runs the model on the device.
        ModelError: The model's weights are missing or damaged.
        SessionError: The shared engine runs on another device.
        UsageError: The device name is invalid.
    """
    if shared is None:
        with closing(make_engine(model, default_runtime_settings(os.environ, device))) as engine:
            yield engine
        return
    if device != "auto" and _with_number(device) != _with_number(shared.device):
        raise SessionError(
            f"device: expected {shared.device}, the device of the shared engine, got {device}",
            hint="pass either device or engine",
        )
    yield shared


def _with_number(device: str) -> str:
    """Returns a device name with the device's number: ``cuda`` is the first GPU."""
    return "cuda:0" if device == "cuda" else device
