"""Without torch, models of other tools are recognized, one error names both ways to use them, and packages run."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import runs

BOTH_WAYS = (
    "error: models of other tools can only be translated with torch, which is not installed",
    "hint: pip install 'clickseg[import]'; or run `clickseg models import` on a machine with torch, and use the "
    "package that it writes: it needs no torch",
)
DESCRIPTION = {
    "inputs": [{"name": "ct", "modality": "CT", "unit": "HU", "scaling": {"kind": "range", "a_min": 0, "a_max": 1}}],
    "grid": {"spacing_mm": ["source"] * 3, "orientation": "source"},
    "window": {"roi": [8, 8, 8]},
    "activation": "softmax",
}
UNET = {"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
IMAGE = {"type": "image", "modality": "CT", "num_channels": 1}
RESULT = {"type": "image", "num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}
FORMATS = {"x-v1.0.0.zip": "MONAIAuto3DSeg", "x.pt": "checkpoint", "x.ts": "TorchScript", "x": "MONAI Bundle"}


def write_zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "LabelValue,Name\n1,spleen\n")
    return path


def write_bundle(folder: Path, config: str = "inference.json") -> Path:
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    inference = {
        "network_def": UNET,
        "preprocessing": [{"_target_": name, "keys": "image"} for name in ("LoadImaged", "EnsureChannelFirstd")],
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [8, 8, 8]},
        "postprocessing": [{"_target_": "AsDiscreted", "keys": "pred", "argmax": True}],
    }
    metadata = {"version": "1", "network_data_format": {"inputs": {"image": IMAGE}, "outputs": {"pred": RESULT}}}
    (folder / "configs" / config).write_text(json.dumps(inference))  # JSON is also YAML
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    write_zip(folder / "models" / "model.pt", "archive/data.pkl")
    return folder


def write_source(folder: Path, name: str) -> Path:
    """Writes a model that is recognized by its files; made without torch."""
    folder.mkdir()
    members = {
        "x-v1.0.0.zip": ("model.pt", "labels.csv"),
        "x.pt": ("x/data.pkl",),
        "x.ts": ("x/constants.pkl", "x/code/x.py", "x/data.pkl"),
    }
    if name not in members:
        return write_bundle(folder / name)
    (folder / "x.json").write_text(json.dumps(DESCRIPTION))
    return write_zip(folder / name, *members[name])


def write_stub(folder: Path, *modules: str) -> str:
    """Writes modules that cannot be imported; returns the folder, for PYTHONPATH."""
    folder.mkdir()
    for module in modules:
        text = f'raise ModuleNotFoundError("No module named {module!r}", name="{module}")\n'
        (folder / f"{module}.py").write_text(text)
    return str(folder)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment variables of a process without torch."""
    return {"PYTHONPATH": write_stub(tmp_path / "stub", "torch", "monai"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("command", ["segment", "import"])
def test_one_error_names_both_ways(tmp_path: Path, environ: dict[str, str], name: str, command: str) -> None:
    source, out = write_source(tmp_path / "source", name), tmp_path / "out"
    words = ["models", "import", source, "-o", out]
    if command == "segment":
        words = ["segment", runs.write_input(tmp_path / "study"), "-m", source, "-o", out]

    ended = runs.run_clickseg_process(*words, **environ)

    assert ended.returncode == 1
    assert tuple(runs.error_lines(ended.stderr)) == BOTH_WAYS, ended.stderr
    assert not [path for folder in (out, tmp_path / "cache") for path in folder.rglob("*") if path.suffix == ".pt"]
    assert not out.exists() or [path.name for path in out.iterdir()] == []


@pytest.mark.parametrize("name", FORMATS)
def test_models_are_listed(tmp_path: Path, environ: dict[str, str], name: str) -> None:
    source = write_source(tmp_path / "source", name)

    ended = runs.run_clickseg_process("models", "list", "-m", source, **environ)

    line = f"{source.stem if source.is_file() else 'x'}: {FORMATS[name]}, translated when it is used ({source})\n"
    assert (ended.returncode, ended.stdout) == (0, line), ended.stderr


def test_without_pyyaml_the_error_names_the_extra(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "x", "inference.yaml")
    stub = write_stub(tmp_path / "stub", "yaml")

    ended = runs.run_clickseg_process("models", "import", bundle, "-o", tmp_path / "out", PYTHONPATH=stub)

    assert ended.returncode == 1
    assert runs.error_lines(ended.stderr) == [
        "error: configurations in YAML can only be read with PyYAML, which is not installed",
        "hint: pip install 'clickseg[import]'",
    ]
    assert not (tmp_path / "out").exists()


@pytest.fixture
def imported(tmp_path: Path) -> Callable[[], Path]:
    """Translates a bundle, with torch; returns its package."""
    pytest.importorskip("torch")
    from tests.helpers.foreign_bundles import write_runnable_bundle

    def translate() -> Path:
        bundle, package = write_runnable_bundle(tmp_path / "spleen"), tmp_path / "package"
        assert runs.run_clickseg("models", "import", bundle, "-o", package).returncode == 0
        return package

    return translate


def test_an_imported_package_runs_without_torch(
    tmp_path: Path, environ: dict[str, str], imported: Callable[[], Path]
) -> None:
    study, package = runs.write_input(tmp_path / "study"), imported()

    ended = runs.run_clickseg_process("segment", study, "-m", package, "-o", tmp_path / "out", **environ)

    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 2
