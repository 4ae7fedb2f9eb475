"""Writing weights into a package; a file that is there already is replaced, never written to.

Another process may have mapped it into its memory: it keeps what it has, where changed bytes would end it. A kill at
any moment leaves a package that loads, or one whose digests do not match, which is said when it is loaded.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import openvino as ov

from clickseg.digest import file_sha256
from clickseg.errors import ModelError, OutputError
from clickseg.models.package import METADATA, ModelPackage
from clickseg.staging import part_of, remove_parts, write_bytes
from clickseg.validation import read_json


def save_openvino(
    network: ov.Model, package: ModelPackage, graph: str, *, in_16_bits: bool = False
) -> tuple[Path, ...]:
    """Writes a graph and its constants, and their SHA-256 to the metadata.

    Args:
        network: What to write.
        package: Where to; a folder.
        graph: The name of the graph's file, ``NAME.xml``; the constants are written to ``NAME.bin``.
        in_16_bits: Whether constants are rounded to f16; they are computed with in f32.

    Returns:
        The files that were written.

    Raises:
        OutputError: The package cannot be written to.
    """
    path = package.path / "models" / graph
    paths = path, path.with_suffix(".bin")
    part = part_of(path)
    parts = part, part.with_suffix(".bin")
    try:
        remove_parts(path.parent)
        ov.save_model(network, part, compress_to_fp16=in_16_bits)
        for new, old in zip(parts, paths, strict=True):
            new.replace(old)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"model {package.name}: {graph} cannot be written to {path.parent}") from error
    finally:
        for each in parts:
            with contextlib.suppress(OSError):
                each.unlink(missing_ok=True)
    list_weights(package, tuple(each.name for each in paths))
    return paths


def list_weights(package: ModelPackage, names: tuple[str, ...]) -> None:
    """Writes the SHA-256 of weights files into the package's metadata.

    Raises:
        OutputError: They cannot be written.
    """
    path = package.path / METADATA
    metadata = read_json(path, ModelError)
    for name in names:
        metadata["clickseg"]["weights"][name] = file_sha256(package.path / "models" / name)
    write_bytes(path, (json.dumps(metadata, indent=2) + "\n").encode())
