"""The digests of the weights files of a package: loading verifies each file against them."""

from __future__ import annotations

import json

from clickseg.core.errors import ModelError
from clickseg.core.files import file_sha256, write_bytes
from clickseg.core.validation import read_json
from clickseg.models.package import METADATA, ModelPackage


def write_weight_digests(package: ModelPackage, names: tuple[str, ...]) -> None:
    """Writes the SHA-256 of weights files to the metadata of their package.

    Args:
        package: The package; a folder.
        names: The names of the files in its folder ``models``.

    Raises:
        OutputError: The metadata cannot be written.
    """
    path = package.path / METADATA
    metadata = read_json(path, ModelError)
    for name in names:
        metadata["clickseg"]["weights"][name] = file_sha256(package.path / "models" / name)
    write_bytes(path, (json.dumps(metadata, indent=2) + "\n").encode())
