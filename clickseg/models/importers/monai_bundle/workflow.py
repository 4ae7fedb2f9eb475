"""Checks that the workflow of a bundle runs the parts that are translated, and nothing else that changes the result.

MONAI runs what ``evaluator`` and ``dataset`` refer to: usually ``network``, ``inferer``, ``preprocessing`` and
``postprocessing``, which are translated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from clickseg.core.errors import ModelError
from clickseg.models.importers.monai_bundle.components import Component
from clickseg.models.importers.monai_bundle.config import BundleConfig, is_disabled

_PARTS = {
    "evaluator#network": "network",
    "evaluator#inferer": "inferer",
    "evaluator#postprocessing": "postprocessing",
    "dataset#transform": "preprocessing",
}
"""The keys with references, and what they should refer to."""

_STEPS = ("evaluator#prepare_batch", "evaluator#iteration_update")
_CLASS, _MODE = "evaluator#_target_", "evaluator#mode"
CHECKED_KEYS = frozenset({*_PARTS, *_STEPS, _CLASS, _MODE, "network"})
"""The keys that are not translated, but must have a value."""

_EVALUATOR = "SupervisedEvaluator"
_REFERENCE = re.compile(r"\$?\s*@(\w+)\s*")
_SAME_NETWORK = re.compile(r"\$?\s*@network_def\s*(\.(to|cuda|cpu|eval|float)\([^()]*(\([^()]*\))?[^()]*\)\s*)*")
"""The network itself, on a device."""

_MAX_REFERENCES, _MAX_EXPRESSION = 12, 200


def check_workflow(config: BundleConfig) -> None:
    """Rejects a workflow that runs other parts than those that are translated.

    Raises:
        ModelError: The evaluator is of another class, has steps of its own, or runs another network, inferer or
            transforms; or a handler changes results. The message names the key.
    """
    _check_class(config)
    for key in _STEPS:
        if config.unresolved(key) is not None:
            raise ModelError(f"{key}: not supported: it may change the image or the result")
    mode = config.unresolved(_MODE)
    if mode is not None and (not isinstance(mode, str) or mode.lower().rpartition(".")[2] != "eval"):
        raise ModelError(f"{_MODE}: expected eval, got {mode!r:.80}")
    for key, part in _PARTS.items():
        _check_part(config, key, part)
    _check_network(config.unresolved("network"))
    _check_handlers(config)


def weights_key(config: BundleConfig, loader: str) -> str:
    """Returns the key of the checkpoint under which the weights of the network are; empty if it is not stated.

    Args:
        config: The configuration.
        loader: The key of the ``CheckpointLoader``.
    """
    objects = config.unresolved(f"{loader}#load_dict")
    pairs = objects.items() if isinstance(objects, Mapping) else ()
    own = [key for key, value in pairs if isinstance(value, str) and _refers_to_network(value)]
    return own[0] if len(own) == 1 else ""


def _refers_to_network(value: str) -> bool:
    reference = _REFERENCE.fullmatch(value)
    return reference is not None and reference[1] in ("network", "network_def")


def _check_class(config: BundleConfig) -> None:
    target = config.unresolved(_CLASS)
    if target is None:
        return
    evaluator = Component("evaluator", str(target)[:200], {})
    if evaluator.name != _EVALUATOR or not evaluator.is_of_monai:
        raise evaluator.error(f"this class is not supported: expected {_EVALUATOR}")


def _check_part(config: BundleConfig, key: str, part: str) -> None:
    """Checks that a key refers to a part, also through other references, or is missing."""
    value = config.unresolved(key)
    expected = _end(config, f"@{part}")
    if value is not None and _end(config, value) not in (expected, "network_def" if part == "network" else expected):
        raise ModelError(
            f"{key}: expected @{part}, the part that is translated, got {value!r:.80}",
            hint=f"if both are the same: --set {key}=@{part}",
        )


def _end(config: BundleConfig, value: Any) -> Any:
    """Returns the key that a reference leads to, through other references; any other value unchanged."""
    for _ in range(_MAX_REFERENCES):
        reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference is None:
            return value
        following = config.unresolved(reference[1])
        if not isinstance(following, str) or not _REFERENCE.fullmatch(following):
            return reference[1]
        value = following
    return value


def _check_network(value: Any) -> None:
    if isinstance(value, str) and (len(value) > _MAX_EXPRESSION or not _SAME_NETWORK.fullmatch(value)):
        raise ModelError(
            f"network: expected network_def on a device, such as $@network_def.to(@device), got {value!r:.80}",
            hint="if it computes the same: --set network=@network_def",
        )


def _check_handlers(config: BundleConfig) -> None:
    handlers = config.unresolved("handlers")
    for number, handler in enumerate(handlers if isinstance(handlers, list) else []):
        target = handler.get("_target_") if isinstance(handler, dict) and not is_disabled(handler) else None
        if isinstance(target, str) and target.rpartition(".")[2] == "PostProcessing":
            raise ModelError(f"handlers#{number}: {target}: not supported: expected the transforms as postprocessing")
