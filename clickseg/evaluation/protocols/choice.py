"""The protocols by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

from clickseg.errors import UsageError
from clickseg.evaluation.protocols.autopet4 import AutoPet4
from clickseg.evaluation.protocols.cvpr2025 import Cvpr2025
from clickseg.evaluation.protocols.protocol import Protocol
from clickseg.evaluation.protocols.sw_fastedit import SwFastEdit

MOST_STEPS = 100


class ProtocolName(str, Enum):
    """The protocols by name."""

    CVPR2025 = "cvpr2025"
    SW_FASTEDIT = "sw-fastedit"
    AUTOPET4 = "autopet4"


_PROTOCOLS: Mapping[ProtocolName, type[Cvpr2025] | type[SwFastEdit] | type[AutoPet4]] = {
    ProtocolName.CVPR2025: Cvpr2025,
    ProtocolName.SW_FASTEDIT: SwFastEdit,
    ProtocolName.AUTOPET4: AutoPet4,
}


def make_protocol(name: ProtocolName, steps: int | None, seed: int | None) -> Protocol:
    """Returns a protocol.

    Args:
        name: Which one.
        steps: How many steps a user makes; None for as many as the protocol says.
        seed: What its random choices begin with; None for the protocol's own.

    Raises:
        UsageError: There would be fewer than none, or more steps than anybody makes.
    """
    usual = _PROTOCOLS[name]()
    if steps is not None and not 0 <= steps <= MOST_STEPS:
        raise UsageError(f"clicks: expected 0 to {MOST_STEPS}, got {steps}")
    if seed is not None and seed < 0:
        raise UsageError(f"seed: expected a number of at least 0, got {seed}")
    return replace(usual, steps=usual.steps if steps is None else steps, seed=usual.seed if seed is None else seed)
