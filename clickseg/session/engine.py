"""The engine of a session: its own, or one that is shared."""

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
    """Yields a shared engine, which stays open, or loads one and closes it.

    Args:
        model: The model.
        device: Where it runs: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        shared: The model's network, loaded; None to load it.

    Raises:
        EngineError: No runtime here runs the model on this device.
        ModelError: The model's weights are missing or damaged.
        SessionError: The shared engine runs on another device.
        UsageError: There is no device of this name.
    """
    if shared is None:
        with closing(make_engine(model, default_runtime_settings(os.environ, device))) as engine:
            yield engine
        return
    if device != "auto" and _numbered(device) != _numbered(shared.device):
        raise SessionError(
            f"device: expected {shared.device}, where the engine runs, got {device}",
            hint="name no device beside an engine",
        )
    yield shared


def _numbered(device: str) -> str:
    """Returns a device with its number: ``cuda`` is the first GPU."""
    return "cuda:0" if device == "cuda" else device
