"""Runs a MONAI Bundle by its own configuration on NIfTI files, on the CPU.

    python -m clickseg.evaluation.original.run_bundle REQUEST

MONAI executes the expressions in the configuration: only for bundles that the user trusts. Changed are only the input,
the output folder, mixed precision (off), the workers of the data loader (none), devices (CPU), arguments that
networks of this version of MONAI no longer have, and the keys that the user changed with ``--set``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clickseg.models.importers.monai_bundle.config import apply_changes
from clickseg.models.importers.monai_bundle.files import CONFIG_KEY, choose_config, metadata_path
from clickseg.models.importers.source_model import ImportOptions

_REMOVED_ARGUMENTS = ("img_size", "data_root_dir")
"""``img_size`` left SwinUNETR in MONAI 1.5; ``data_root_dir`` of SaveImaged needs the folder of the authors."""


def run(source: Path, images: Sequence[Path], labels: Path, changes: Mapping[str, Any]) -> None:
    """Runs a bundle, and writes the labels as NIfTI on the grid of the first image.

    Args:
        source: The bundle.
        images: The image, or one for each input.
        labels: The file that is written.
        changes: Values by keys of the bundle.
    """
    with tempfile.TemporaryDirectory() as output:
        make_evaluator(source, images, Path(output), changes).run()
        written = max(Path(output).rglob("*.nii*"), key=lambda path: path.stat().st_mtime)
        shutil.copy(written, labels)


def make_evaluator(source: Path, images: Sequence[Path], output: Path, changes: Mapping[str, Any]) -> Any:
    """Returns the evaluator of a bundle, with its weights, which writes its result into the output folder."""
    from monai.bundle import ConfigParser

    parser = ConfigParser(on_cpu(read_config(source, changes)))
    parser["bundle_root"] = str(source)
    parser["output_dir"] = str(output)
    parser["dataset"]["data"] = [_data_item(parser, [str(image) for image in images])]
    parser["dataloader"].update({"num_workers": 0, "shuffle": False})
    parser["evaluator"]["amp"] = False
    sys.path.insert(0, str(source))  # transforms of the bundle itself
    evaluator = parser.get_parsed_content("evaluator")
    if "checkpointloader" in parser.get():
        parser.get_parsed_content("checkpointloader")(evaluator)
    return evaluator


def _data_item(parser: Any, images: list[str]) -> dict[str, Any]:
    """Returns the item of the dataset: images that are loaded under keys of their own, or as channels of one."""
    loaded = parser.get("preprocessing")["transforms"][0].get("keys")
    if len(images) > 1 and isinstance(loaded, list) and len(loaded) == len(images):
        return dict(zip(loaded, images, strict=True))
    return {parser.get("image_key", "image"): images if len(images) > 1 else images[0]}


def read_config(source: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration of a bundle after changes; those of its metadata do not concern it."""
    import yaml

    path, _ = choose_config(source, ImportOptions(changes=changes))
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    others = {CONFIG_KEY, *yaml.safe_load(metadata_path(source).read_text())} - set(config)
    apply_changes(config, {key: value for key, value in changes.items() if key.partition("#")[0] not in others})
    return config


def on_cpu(value: Any) -> Any:
    """Returns a configuration without CUDA devices, and without arguments and readers that are not available."""
    if isinstance(value, dict):
        return {key: on_cpu(item) for key, item in value.items() if not _is_unavailable(key, item)}
    if isinstance(value, list):
        return [on_cpu(item) for item in value]
    if isinstance(value, str):
        return value.replace("torch.device('cuda')", "torch.device('cpu')")
    return value


def _is_unavailable(key: str, item: Any) -> bool:
    return key in _REMOVED_ARGUMENTS or (key == "reader" and item == "ITKReader")


def main() -> None:
    """Runs the request in the first argument."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # as its authors ran it
    request = json.loads(sys.argv[1])
    images = [Path(image) for image in request["images"]]
    run(Path(request["source"]), images, Path(request["labels"]), request["changes"])


if __name__ == "__main__":
    main()
