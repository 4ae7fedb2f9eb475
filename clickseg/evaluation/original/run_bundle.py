"""Runs a MONAI Bundle by its own configuration on one NIfTI file, on the CPU.

    python -m clickseg.evaluation.original.run_bundle REQUEST

MONAI executes the expressions in the configuration: only for bundles that the user trusts. Changed are only the input,
the output folder, mixed precision (off), the workers of the data loader (none), devices (CPU), and arguments that
networks of this version of MONAI no longer have.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

_REMOVED_ARGUMENTS = ("img_size", "data_root_dir")
"""``img_size`` left SwinUNETR in MONAI 1.5; ``data_root_dir`` of SaveImaged needs the folder of the authors."""


def run(source: Path, image: Path, labels: Path) -> None:
    """Runs a bundle, and writes the labels as NIfTI on the grid of the image."""
    from monai.bundle import ConfigParser

    parser = ConfigParser(_on_cpu(_read_config(source)))
    with tempfile.TemporaryDirectory() as output:
        parser["bundle_root"] = str(source)
        parser["output_dir"] = output
        parser["dataset"]["data"] = [{parser.get("image_key", "image"): str(image)}]
        parser["dataloader"].update({"num_workers": 0, "shuffle": False})
        parser["evaluator"]["amp"] = False
        sys.path.insert(0, str(source))  # transforms of the bundle itself
        evaluator = parser.get_parsed_content("evaluator")
        if "checkpointloader" in parser.get():
            parser.get_parsed_content("checkpointloader")(evaluator)
        evaluator.run()
        written = max(Path(output).rglob("*.nii*"), key=lambda path: path.stat().st_mtime)
        shutil.copy(written, labels)


def _read_config(source: Path) -> dict[str, Any]:
    import yaml

    names = ("inference.json", "inference.yaml", "inference.yml")
    path = next(source / "configs" / name for name in names if (source / "configs" / name).is_file())
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def _on_cpu(value: Any) -> Any:
    """Returns a configuration without CUDA devices, and without arguments and readers that are not available."""
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items() if not _is_unavailable(key, item)}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    if isinstance(value, str):
        return value.replace("torch.device('cuda')", "torch.device('cpu')")
    return value


def _is_unavailable(key: str, item: Any) -> bool:
    return key in _REMOVED_ARGUMENTS or (key == "reader" and item == "ITKReader")


def main() -> None:
    """Runs the request in the first argument."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # as its authors ran it
    request = json.loads(sys.argv[1])
    run(Path(request["source"]), Path(request["image"]), Path(request["labels"]))


if __name__ == "__main__":
    main()
