"""Tells how the modules of a TorchScript program differ from those of a network of MONAI, for messages.

That the modules are the same does not prove that the program computes the same: see ``program_code``.

A program contains the class of each module; a scripted one also its numbers, such as strides, a traced one does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_WITHOUT_EFFECT = ("AlphaDropout", "Dropout", "Dropout2d", "Dropout3d", "Identity")
_NOT_COMPARED = ("dropout", "dropout_prob", "inplace", "p", "training")
"""Attributes that do not change what a network computes in evaluation mode."""


def find_difference(network: torch.nn.Module, program: torch.nn.Module, prefix: str) -> str:
    """Returns how the modules of a program differ from those of a network; empty if they do not.

    Args:
        network: The network.
        program: The program.
        prefix: The prefix of the names of the network's modules in the program, with a dot at its end, or empty.
    """
    expected = dict(network.named_modules(remove_duplicate=False))
    modules = dict(program.named_modules(remove_duplicate=False))
    found = {f"{name}."[len(prefix) : -1]: each for name, each in modules.items() if f"{name}.".startswith(prefix)}
    for path, module in expected.items():
        difference = _module_difference(module, found[path]) if path in found else ""
        if difference:
            return f"{path or 'the network'}: {difference}"
    known = {f"{prefix}{path}".rstrip(".") for path in expected}
    others = [name for name, module in modules.items() if name not in known and _has_effect(module)]
    return f"{others[0]}: the network has no such module" if others else ""


def _module_difference(expected: torch.nn.Module, found: Any) -> str:
    name = type(expected).__name__
    if found.original_name != name:
        return f"expected {name}, got {found.original_name}"
    for attribute, value in vars(expected).items():
        if isinstance(value, (bool, int, float, tuple)) and attribute[0] != "_" and attribute not in _NOT_COMPARED:
            other = getattr(found, attribute, value)  # a traced program has no numbers
            is_plain = isinstance(other, (bool, int, float, tuple, list))  # comparing other objects may run the program
            if not is_plain or _plain(other) != _plain(value):
                return f"{attribute}: expected {value}, got {other}"
    return ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _has_effect(module: Any) -> bool:
    return not any(True for _ in module.children()) and module.original_name not in _WITHOUT_EFFECT
