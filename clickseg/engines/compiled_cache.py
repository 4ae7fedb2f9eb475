"""Keeping compiled networks on disk; one that is not what was written is compiled anew.

OpenVINO has a cache of its own, but takes what lies there unchecked: a damaged file gives other logits without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import openvino as ov

from clickseg.cache import keep_file, kept_file


def kept(
    core: ov.Core, folder: Path | None, compile_network: Callable[[], ov.CompiledModel], options: Mapping[str, object]
) -> ov.CompiledModel:
    """Returns a compiled network from the cache, or compiles it and puts it there.

    Args:
        core: OpenVINO.
        folder: The cache; None for none.
        compile_network: Compiles the network.
        options: All that the compiled network depends on; those that OpenVINO knows are in upper case.
    """
    if folder is None:
        return compile_network()
    key = json.dumps({**options, "build": ov.__version__}, sort_keys=True)
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.blob"
    known = {name: value for name, value in options.items() if name.isupper()}
    return _imported(core, path, known) or _exported(compile_network(), path)


def _imported(core: ov.Core, path: Path, options: Mapping[str, object]) -> ov.CompiledModel | None:
    content = kept_file(path)
    try:
        return None if content is None else core.import_model(content, "CPU", options)
    except RuntimeError:  # OpenVINO refuses what another build of it wrote
        return None


def _exported(compiled: ov.CompiledModel, path: Path) -> ov.CompiledModel:
    with contextlib.suppress(RuntimeError):  # a network that OpenVINO cannot export is compiled each time
        keep_file(path, compiled.export_model().getvalue())
    return compiled
