"""Proves that a TorchScript program computes what a network of MONAI computes, without running the program.

The network is scripted, and traced. Freezing makes one graph of a program: methods are inlined, and all attributes,
such as weights and strides, are constants. If the graphs and the constants of both are the same, so are the results.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from clickseg.models.importers.torch_files import import_torch

if TYPE_CHECKING:
    import torch

_TRACED_VOX = (16, 32, 64)
"""Lengths of the axes of the example that the network is traced with: half of 64 five times is 2 voxels.

The smallest that the network accepts is fastest. For some networks the steps depend on it: then the largest is tried.
"""

_MAX_TRACED_VOXELS = 128**3
"""The largest image to trace a network with that accepts only one size."""

_TRACED_CONVOLUTION = "aten::_convolution"
"""How a trace records a convolution; scripted code calls it by another name."""

_NOT_COMPARED = ("prim::CallFunction", "prim::CallMethod", "prim::CreateObject", "prim::GetAttr", "prim::SetAttr")
"""Steps that freezing leaves only where it cannot tell what they do."""

_WARNING_NUMBER = "warn_id"
"""An attribute of steps that warn: torch counts the warnings of a process."""

_PLAIN_TYPES = (bool, float, int, str, type(None))


class _IncomparableError(Exception):
    """A program has a step or a constant that cannot be compared."""


_ERRORS = (_IncomparableError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
"""What torch raises for programs that it cannot freeze, and for networks that it cannot script or trace."""


@dataclass(frozen=True, slots=True)
class _Computation:
    """A frozen program: its steps, whose inputs are numbers of earlier results and of constants, and the constants."""

    steps: tuple[Any, ...]
    constants: tuple[Any, ...]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all steps; the name of a step that computes in place ends with ``_``."""
        return list(_kinds(self.steps))


def computes_the_same(
    network: torch.nn.Module, program: torch.nn.Module, channels: int, sizes: Sequence[Sequence[int]]
) -> bool:
    """Whether a program certainly computes what a network computes; False also if this cannot be shown.

    Args:
        network: The network with its weights; it is not changed.
        program: The program, in evaluation mode.
        channels: The number of input channels.
        sizes: Sizes of images to trace the network with, from the smallest to the largest: see ``traced_sizes``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, on the code of MONAI
        found = _read(lambda: program)
        if found is None:
            return False
        checks = [partial(_is_scripted, network, found), partial(_is_traced, network, found, channels, sizes)]
        if _TRACED_CONVOLUTION in found.kinds:
            checks.reverse()  # the more probable one is first
        return any(check() for check in checks)


def traced_sizes(network_def: Mapping[str, Any], axes: int) -> list[list[int]]:
    """Returns the sizes of images to trace a network with: its own if it has one and is not too large, else cubes."""
    stated = network_def.get("img_size")
    if stated is None:
        return [[length] * axes for length in _TRACED_VOX]
    own = [stated] * axes if isinstance(stated, int) else list(stated)
    return [own] if math.prod(own) <= _MAX_TRACED_VOXELS else []


def _is_scripted(network: torch.nn.Module, found: _Computation) -> bool:
    return _is_made(network, lambda: import_torch().jit.script(network), found)


def _is_traced(network: torch.nn.Module, found: _Computation, channels: int, sizes: Sequence[Sequence[int]]) -> bool:
    """Whether a program is a trace of a network, with the smallest image that it accepts, or with the largest."""
    torch = import_torch()
    examples = [torch.zeros(1, channels, *size) for size in sizes]
    accepted = next(([example] for example in examples[:-1] if _accepts(network, example)), [])
    makers = (partial(torch.jit.trace, network, example, check_trace=False) for example in (*accepted, *examples[-1:]))
    return any(_is_made(network, make, found) for make in makers)


def _accepts(network: torch.nn.Module, example: torch.Tensor) -> bool:
    """Whether a network can be run on an image: running it is faster than a trace that fails."""
    with contextlib.suppress(*_ERRORS), import_torch().no_grad():
        network.eval()(example)
        return True
    return False


def _is_made(network: torch.nn.Module, make: Callable[[], Any], found: _Computation) -> bool:
    """Whether a program is what is made of a network."""
    for _ in _inplace_forms(network.eval()):
        expected = _read(partial(_reload_made, make))
        if expected is None:
            return False
        if _are_equal(expected, found):
            return True
        if not _differ_in_form(expected.kinds, found.kinds):
            return False
    return False


def _differ_in_form(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether kinds of steps differ only in what is computed in place."""
    return first != second and [kind.rstrip("_") for kind in first] == [kind.rstrip("_") for kind in second]


def _inplace_forms(network: torch.nn.Module) -> Iterator[None]:
    """Sets activations to compute in place, or not: the results of MONAI's networks are the same."""
    activations = [module for module in network.modules() if isinstance(getattr(module, "inplace", None), bool)]
    original = [bool(module.inplace) for module in activations]
    forms: list[list[bool]] = [original, *([value] * len(original) for value in (False, True))]
    try:
        for number, form in enumerate(forms):
            if form not in forms[:number]:
                _set_inplace(activations, form)
                yield
    finally:
        _set_inplace(activations, original)


def _set_inplace(activations: Sequence[Any], values: Sequence[Any]) -> None:
    for module, value in zip(activations, values, strict=True):
        module.inplace = value


def _reload_made(make: Callable[[], Any]) -> Any:
    """Makes, saves and loads a program: saving changes its code."""
    torch, file = import_torch(), io.BytesIO()
    torch.jit.save(make(), file)
    file.seek(0)
    return torch.jit.load(file, map_location="cpu").eval()


def _read(make: Callable[[], Any]) -> _Computation | None:
    """Returns a frozen program; None if it cannot be compared."""
    torch = import_torch()
    with contextlib.suppress(*_ERRORS, torch.jit.frontend.NotSupportedError), torch.no_grad():
        frozen: Any = torch.jit.freeze(make(), optimize_numerics=False)
        torch._C._jit_pass_remove_dropout(frozen._c)  # noqa: SLF001 - torch has no public function for it
        return _Reading().read(frozen.graph)
    return None


def _kinds(block: tuple[Any, ...]) -> Iterator[str]:
    _, steps, _ = block
    for kind, _, _, _, blocks, _ in steps:
        yield kind
        for inner in blocks:
            yield from _kinds(inner)


class _Reading:
    """Reads a frozen graph; names of values do not matter, only where they come from."""

    def __init__(self) -> None:
        self._sources: dict[int, tuple[str, int]] = {}
        self._constant_values: dict[int, Any] = {}
        self._constants: list[Any] = []

    def read(self, graph: Any) -> _Computation:
        """Returns the steps and the constants of a graph.

        Raises:
            _IncomparableError: The graph has other steps or constants.
            LookupError: The graph uses the module itself: an attribute could not be frozen.
        """
        _, *images = graph.inputs()
        self._add_results(images)
        steps = self._steps(graph)
        outputs = tuple(self._source(value) for value in graph.outputs())
        return _Computation((len(images), steps, outputs), tuple(self._constants))

    def _steps(self, block: Any) -> tuple[Any, ...]:
        steps = []
        for node in block.nodes():
            if node.kind() == "prim::Constant":
                self._constant_values[node.output().unique()] = node.output().toIValue()
            else:
                steps.append(self._step(node))
        return tuple(steps)

    def _step(self, node: Any) -> tuple[Any, ...]:
        if node.kind() in _NOT_COMPARED:
            raise _IncomparableError(node.kind())
        names = [name for name in node.attributeNames() if name != _WARNING_NUMBER]
        attributes = tuple((name, str(getattr(node, node.kindOf(name))(name))) for name in names)
        inputs = tuple(self._source(value) for value in node.inputs())
        blocks = tuple(self._block(block) for block in node.blocks())
        self._add_results(node.outputs())
        return node.kind(), node.schema(), attributes, inputs, blocks, node.outputsSize()

    def _block(self, block: Any) -> tuple[Any, ...]:
        inputs = list(block.inputs())
        self._add_results(inputs)
        return len(inputs), self._steps(block), tuple(self._source(value) for value in block.outputs())

    def _add_results(self, values: Any) -> None:
        for value in values:
            self._sources[value.unique()] = ("result", len(self._sources))

    def _source(self, value: Any) -> tuple[str, int]:
        """Returns where a value comes from; constants are numbered in the order of their use."""
        number = value.unique()
        if number not in self._sources:
            self._constants.append(self._constant_values[number])
            return ("constant", len(self._constants) - 1)
        return self._sources[number]


def _are_equal(first: _Computation, second: _Computation) -> bool:
    if first.steps != second.steps or len(first.constants) != len(second.constants):
        return False
    return all(_is_same_constant(*pair) for pair in zip(first.constants, second.constants, strict=True))


def _is_same_constant(first: Any, second: Any) -> bool:
    if type(first) is not type(second):
        return False
    torch = import_torch()
    if isinstance(first, torch.Tensor):
        return bool(first.dtype == second.dtype and torch.equal(first, second))
    if isinstance(first, (list, tuple)):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(_is_same_constant(*pair) for pair in pairs)
    return isinstance(first, (*_PLAIN_TYPES, torch.device, torch.dtype)) and repr(first) == repr(second)
