"""Keeping compiled networks on disk; one that is not what was written is compiled anew.

OpenVINO has a cache of its own, but takes what lies there unchecked: a damaged file gives other logits without a word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import openvino as ov

from clickseg.staging import replace_whole

_DIGEST_BYTES = 32


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
    path = folder / f"{hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()}.blob"
    content = _read(path)
    if content is not None:
        return core.import_model(content, "CPU", {name: value for name, value in options.items() if name.isupper()})
    compiled = compile_network()
    _write(path, compiled.export_model().getvalue())
    return compiled


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, blob = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return blob if hashlib.sha256(blob).digest() == digest else None


def _write(path: Path, blob: bytes) -> None:
    try:
        replace_whole(path, hashlib.sha256(blob).digest() + blob)
    except OSError:
        return  # a full disk costs the next run some time, and nothing else
