"""Reads functions that make a label map of masks: which mask counts where several are set.

Bundles write them as ``lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, 0))``. The syntax tree of the
function is compared with this form; nothing is executed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

_WHERE = ("torch.where", "np.where", "numpy.where")
_MAX_MASKS = 64
_COMPARISONS = ((ast.Gt, 0), (ast.Gt, 0.5), (ast.GtE, 0.5), (ast.Eq, 1), (ast.GtE, 1))
"""What is 1 of values that are 0 or 1."""


@dataclass(frozen=True, slots=True)
class LabelMerge:
    """Which mask counts where several are set.

    Attributes:
        channels: The channels of the masks, the first that is set counts; None for all channels but channel 0, in
            ascending order.
        values: The value of each channel in the label map; empty for the numbers of the channels.
    """

    channels: tuple[int, ...] | None
    values: tuple[int, ...] = ()


FIRST_CHANNEL_WINS = LabelMerge(None)
"""Channel 0 is not used; of the others, the first that is set counts."""


def read_merge(function: ast.Lambda) -> LabelMerge | None:
    """Returns the merge that a function of one argument computes; None if it has another form.

    Every channel must have its own value other than 0, and voxels in none of the masks must be 0.
    """
    parameters = function.args
    if len(parameters.args) != 1 or parameters.defaults or parameters.vararg or parameters.kwarg:
        return None
    name, node = parameters.args[0].arg, function.body
    pairs: list[tuple[int, int]] = []
    while len(pairs) < _MAX_MASKS:
        match node:
            case ast.Call(func=called, args=[condition, ast.Constant(value=int() as value), otherwise], keywords=[]):
                channel = _channel_of(condition, name)
                if ast.unparse(called) not in _WHERE or channel is None or isinstance(value, bool):
                    return None
                pairs.append((channel, value))
                node = otherwise
            case ast.Constant(value=0):
                return _checked(pairs)
            case _:
                return None
    return None


def _checked(pairs: list[tuple[int, int]]) -> LabelMerge | None:
    channels, values = zip(*pairs, strict=True) if pairs else ((), ())
    are_different = len(set(channels)) == len(channels) == len(set(values))
    return LabelMerge(channels, values) if pairs and are_different and min(values) > 0 else None


def _channel_of(condition: ast.expr, name: str) -> int | None:
    """Returns the channel of ``x[[2]] > 0`` or ``x[2] > 0``."""
    match condition:
        case ast.Compare(
            left=ast.Subscript(value=ast.Name(id=subject), slice=index),
            ops=[operator],
            comparators=[ast.Constant(value=bound)],
        ) if subject == name and not isinstance(bound, bool):
            inner = index.elts[0] if isinstance(index, ast.List) and len(index.elts) == 1 else index
            is_set = any(isinstance(operator, kind) and bound == limit for kind, limit in _COMPARISONS)
            if is_set and isinstance(inner, ast.Constant) and type(inner.value) is int and 0 <= inner.value < 1024:
                return inner.value
    return None
