"""Hostile models, where the user names them: each is one error, nothing is executed, and nothing is left behind."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clickseg.core.errors import ClickSegError
from clickseg.inference.model_sources import find_models
from clickseg.models.find import model_paths
from clickseg.models.importers.source_model import ImportOptions
from tests.helpers import foreign_bundles as fb
from tests.helpers import hostile_files as hf
from tests.helpers import nnunet_models as nn
from tests.helpers import totalsegmentator_models as ts
from tests.helpers.oracles import torch

CONFIG: dict[str, Any] = {
    "network": {"_target_": "SegResNetDS", "init_filters": 8, "in_channels": 1, "out_channels": 2},
    "modality": "ct",
    "normalize_mode": "meanstd",
    "roi_size": [32, 32, 32],
    "resample_resolution": [1.5, 1.5, 3],
}
PROGRAMS = tuple(hf.programs(Path("canary")))


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """The file that a model creates if it is executed."""
    return tmp_path / "canary"


def reject(path: Path, tmp_path: Path) -> str:
    """Checks that a model is one error that leaves nothing, and returns its text."""
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr("tempfile.tempdir", str(temporary))
        with pytest.raises(ClickSegError) as caught:
            find_models(model_paths(path, {}), None, ImportOptions(), cache)
    left = [*cache.rglob("*"), *temporary.rglob("*")]
    assert [file for file in left if file.is_file()] == []
    assert not (tmp_path / "canary").exists()
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()
    return str(caught.value)


def save(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def write_auto3dseg(path: Path, **members: bytes) -> Path:
    content = save({"config": CONFIG, "state_dict": fb.STATE})
    return hf.write_zip(path, {"model.pt": content, "labels.csv": hf.LABELS.encode(), **members})


Place = Callable[[Path, Any], Path]


def in_a_checkpoint(folder: Path, content: Any) -> Path:
    path = folder / "x.pt"
    path.write_bytes(save(content))
    return path


def in_a_legacy_checkpoint(folder: Path, content: Any) -> Path:
    path = folder / "x.ckpt"
    path.write_bytes(hf.legacy_file(content))
    return path


def in_a_pickle(folder: Path, content: Any) -> Path:
    """A zip file in the form of torch's, whose pickle is not torch's."""
    return hf.write_zip(folder / "x.pth", {"x/data.pkl": pickle.dumps(content, 2), "x/version": b"3\n"})


def in_a_zip_of_auto3dseg(folder: Path, content: Any) -> Path:
    return write_auto3dseg(folder / "x.zip", **{"model.pt": save({"config": CONFIG, "state_dict": content})})


def in_a_fold_of_nnunet(folder: Path, content: Any) -> Path:
    model = nn.write_model(folder / "Dataset001_x" / nn.IDENTIFIER)
    checkpoint = nn.make_checkpoint({}, network_weights=content)
    (model / "fold_0" / "checkpoint_final.pth").write_bytes(save(checkpoint))
    return model


def in_a_zip_of_nnunet(folder: Path, content: Any) -> Path:
    return nn.zip_model(folder / "x.zip", in_a_fold_of_nnunet(folder, content))


def in_a_dataset_of_totalsegmentator(folder: Path, content: Any) -> Path:
    (model,) = ts.write_dataset(folder / "results", 297).iterdir()
    checkpoint = nn.make_checkpoint({}, network_weights=content)
    (model / "fold_0" / "checkpoint_final.pth").write_bytes(save(checkpoint))
    return folder / "results"


def in_the_weights_of_a_bundle(folder: Path, content: Any) -> Path:
    bundle = fb.write_bundle(folder / "x")
    (bundle / "models" / "model.pt").write_bytes(save(content))
    return bundle


def in_the_architecture_of_a_bundle(folder: Path, content: Any) -> Path:
    space = {"_target_": "TopologyInstance", "arch_code": ["$@arch['a']", "$@arch['a']"]}
    network = {"_target_": "DiNTS", "dints_space": space, "in_channels": 1, "num_classes": 2}
    bundle = fb.write_bundle(folder / "x", fb.make_config(arch="$torch.load('search.pt')", network_def=network))
    (bundle / "search.pt").write_bytes(save({"a": content}))
    return bundle


PLACES = (
    in_a_checkpoint,
    in_a_legacy_checkpoint,
    in_a_pickle,
    in_a_zip_of_auto3dseg,
    in_a_fold_of_nnunet,
    in_a_zip_of_nnunet,
    in_a_dataset_of_totalsegmentator,
    in_the_weights_of_a_bundle,
    in_the_architecture_of_a_bundle,
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_in_a_pickle_is_not_executed(tmp_path: Path, canary: Path, program: str, place: Place) -> None:
    try:
        path = place(tmp_path, hf.programs(canary)[program])
    except (pickle.PicklingError, TypeError):
        pytest.skip("not possible in this format")

    reject(path, tmp_path)


@pytest.mark.parametrize("place", PLACES)
def test_a_program_of_torchscript_in_place_of_weights_is_not_loaded(tmp_path: Path, place: Place) -> None:
    path = place(tmp_path, fb.STATE)
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), script)
    if path.suffix == ".zip":
        write_auto3dseg(path, **{"model.pt": script.getvalue()})
    elif path.is_dir():
        for file in (*path.rglob("*.pt"), *path.rglob("*.pth")):
            file.write_bytes(script.getvalue())
    else:
        pytest.skip("a file that the user names is run")

    reject(path, tmp_path)


def test_a_bundle_with_only_a_torchscript_program_is_an_error(tmp_path: Path) -> None:
    bundle = fb.write_bundle(tmp_path / "x")
    (bundle / "models" / "model.pt").unlink()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), bundle / "models" / "model.ts")

    assert "the weights 'models/model.pt' do not exist" in reject(bundle, tmp_path).replace("./", "")


@pytest.mark.parametrize(
    "tensor",
    [
        lambda: torch.ones(1).expand(1 << 20),
        lambda: torch.ones(4, device="meta"),
        lambda: torch.eye(4).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8),
    ],
    ids=["fewer values than the shape", "without values", "sparse", "quantized"],
)
@pytest.mark.parametrize(
    "place",
    [
        in_a_checkpoint,
        in_the_weights_of_a_bundle,
        in_a_zip_of_auto3dseg,
        in_a_fold_of_nnunet,
        in_a_dataset_of_totalsegmentator,
    ],
)
def test_tensors_without_their_values_are_errors(tmp_path: Path, tensor: Callable[[], Any], place: Place) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = place(tmp_path, {"weight": tensor()})

    assert "weight" in reject(path, tmp_path)


@pytest.mark.parametrize("place", [in_a_checkpoint, in_the_weights_of_a_bundle])
def test_content_that_is_compressed_too_much_is_not_unpacked(tmp_path: Path, place: Place) -> None:
    path = place(tmp_path, fb.STATE)
    weights = path / "models" / "model.pt" if path.is_dir() else path
    hf.add_member(weights, "archive/data/9", 80 << 20)

    assert f"expected a content of at most {64 << 20} bytes" in reject(path, tmp_path)


def test_a_torchscript_file_that_is_compressed_too_much_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)
    hf.add_member(path, "x/data/9", 80 << 20)

    assert "expected a content of at most" in reject(path, tmp_path)


def test_members_of_a_zip_file_that_are_compressed_too_much_are_not_unpacked(tmp_path: Path) -> None:
    bomb = hf.write_zip(tmp_path / "x.zip", {"model.pt": bytes(8 << 20), "labels.csv": hf.LABELS.encode()})

    assert "100 times its compressed size" in reject(bomb, tmp_path)


def test_a_zip_file_with_two_members_of_a_name_is_an_error(tmp_path: Path) -> None:
    path = write_auto3dseg(tmp_path / "x.zip")
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("labels.csv", "LabelValue,Name\n1,liver\n")

    assert "'labels.csv': expected one member of this name" in reject(path, tmp_path)


@pytest.mark.parametrize("folder", ["../", "/etc/", "C:\\", "a/../"])
def test_paths_of_members_lead_nowhere(tmp_path: Path, folder: str) -> None:
    members = {f"{folder}model.pt": save({"config": CONFIG, "state_dict": fb.STATE})}
    path = hf.write_zip(tmp_path / "x.zip", members)
    before = sorted(tmp_path.parent.iterdir())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{folder}labels.csv", hf.LABELS)

    reject(path, tmp_path)

    assert sorted(tmp_path.parent.iterdir()) == before


def test_a_link_in_a_zip_file_is_not_followed(tmp_path: Path) -> None:
    path, target = tmp_path / "x.zip", tmp_path / "secret.csv"
    target.write_text(hf.LABELS)
    link = zipfile.ZipInfo("labels.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pt", save({"config": CONFIG, "state_dict": fb.STATE}))
        archive.writestr(link, str(target))

    assert "labels.csv: expected rows" in reject(path, tmp_path)


@pytest.mark.parametrize("file", ["configs/metadata.json", "configs/inference.json", "models/model.pt", "configs"])
def test_links_to_outside_a_bundle_are_errors(tmp_path: Path, file: str) -> None:
    bundle = fb.write_bundle(tmp_path / "x")
    (bundle / file).rename(tmp_path / "outside")
    (bundle / file).symlink_to(tmp_path / "outside")

    assert "expected a path inside the bundle" in reject(bundle, tmp_path)


def test_links_that_refer_to_each_other_are_errors(tmp_path: Path) -> None:
    bundle = fb.write_bundle(tmp_path / "x")
    (bundle / "models" / "model.pt").unlink()
    (bundle / "models" / "model.pt").symlink_to("other.pt")
    (bundle / "models" / "other.pt").symlink_to("model.pt")

    reject(bundle, tmp_path)


@pytest.mark.parametrize("path", ["../x.pt", "/etc/x.pt", "C:/x.pt", "a/../../x.pt", "models/x.py", "models/x\n.pt"])
@pytest.mark.parametrize("key", ["checkpointloader", "arch"])
def test_paths_of_weights_and_architectures_stay_in_the_bundle(tmp_path: Path, path: str, key: str) -> None:
    config = fb.make_config()
    if key == "arch":
        config |= {"arch": f"$torch.load({path!r})"}
        config["network_def"]["channels"] = "$@arch['a']"
    else:
        config["checkpointloader"]["load_path"] = path

    assert "expected a" in reject(fb.write_bundle(tmp_path / "x", config), tmp_path)


EXPRESSIONS = (
    "$__import__('os').system('touch {canary}')",
    "$(lambda: open('{canary}', 'w'))()",
    "$[open('{canary}', 'w') for _ in [1]]",
    "$f\"{{open('{canary}', 'w')}}\"",
    "$().__class__.__base__.__subclasses__()",
    "$@network_def.__class__",
    "$9**9**9",
    "$[0]*1000000000",
    "$'a'*1000000000",
    "$1 << 1000000000",
    "$import os",
    "$(x := open('{canary}', 'w'))",
    "$len(open('{canary}', 'w'))",
    "$torch.load(open('{canary}', 'w'))",
    "$" + "(" * 900 + "1" + ")" * 900,
    "$" + "-" * 1900 + "1",
    "$@inferer#roi_size",
    "@inferer",
    "%../../secret.json#key",
    "$\0",
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("name", ["inference.json", "inference.yaml"])
def test_expressions_are_not_executed(tmp_path: Path, canary: Path, expression: str, name: str) -> None:
    config = fb.make_config()
    config["inferer"]["roi_size"] = expression.replace("{canary}", str(canary)).replace("{{", "{").replace("}}", "}")

    reject(fb.write_bundle(tmp_path / "x", config, name=name), tmp_path)


YAML = {
    "function": "inferer: !!python/object/apply:os.system ['touch {canary}']",
    "module": "inferer: !!python/module:os",
    "name": "inferer: !!python/name:os.system",
    "new": "inferer: !!python/object/new:os.system ['touch {canary}']",
    "tag": "!<tag:example.org,2000:x> {{}}",
    "merge": "a: &a {{x: 1}}\nb:\n  <<: *a",
    "alias of itself": "a: &a [*a]",
    "aliases that multiply": "\n".join(
        ["a0: &a0 [1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    ),
    "depth": "a: " + "[" * 5000,
    "several documents": "a: 1\n---\nb: 2",
    "large": "a: " + "x" * (1 << 20),
}


@pytest.mark.parametrize("case", YAML)
def test_hostile_yaml_is_one_error(tmp_path: Path, canary: Path, case: str) -> None:
    bundle = fb.write_bundle(tmp_path / "x", name="inference.yaml")
    (bundle / "configs" / "inference.yaml").write_text(
        YAML[case].replace("{canary}", str(canary)).replace("{{", "{").replace("}}", "}")
    )

    reject(bundle, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '{"inferer": NaN}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a": ' + "[" * 100_000,
        '{"a": "\\ud800"}',
        "[1]",
        "\x00",
        '{"a": 1e999}',
    ],
    ids=["NaN", "number", "depth", "surrogate", "list", "zero", "infinity"],
)
@pytest.mark.parametrize("file", ["inference.json", "metadata.json"])
def test_hostile_json_is_one_error(tmp_path: Path, text: str, file: str) -> None:
    bundle = fb.write_bundle(tmp_path / "x")
    (bundle / "configs" / file).write_text(text)

    reject(bundle, tmp_path)


NETWORK = fb.make_config()["network_def"]
ABSURD: dict[str, dict[str, Any]] = {
    "channels": {"network_def": NETWORK | {"channels": [10**9, 10**9]}},
    "digits": {"network_def": NETWORK | {"channels": [10**400, 8]}},
    "levels": {"network_def": NETWORK | {"channels": [8] * 5000, "strides": [2] * 4999}},
    "classes": {"network_def": NETWORK | {"out_channels": 10**6}},
    "roi": {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [10**6] * 3}},
    "overlap": {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96] * 3, "overlap": 1 - 1e-12}},
    "own code": {"network_def": {"_target_": "scripts.network.Net"}},
    "program as network": {"network_def": {"_target_": "os.system", "command": "touch canary"}},
    "function of MONAI": {"network_def": {"_target_": "monai.apps.utils.download_url", "url": "http://127.0.0.1:9"}},
    "import": {"network_def": NETWORK | {"_requires_": "$__import__('os')"}},
}


@pytest.mark.parametrize("case", ABSURD)
def test_absurd_sizes_and_classes_are_one_error(tmp_path: Path, case: str) -> None:
    reject(fb.write_bundle(tmp_path / "x", fb.make_config(**ABSURD[case])), tmp_path)


def test_code_in_a_bundle_is_never_imported(tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = fb.write_runnable_bundle(tmp_path / "x")
    for module in ("scripts/__init__.py", "scripts/network.py", "sitecustomize.py", "monai.py", "configs/__init__.py"):
        (bundle / module).parent.mkdir(exist_ok=True)
        (bundle / module).write_text(f"open({str(canary)!r}, 'w')")
    config = bundle / "configs" / "inference.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"imports": ["$import scripts", "$from scripts import *"]})
    )
    monkeypatch.chdir(bundle)

    (package,) = find_models(model_paths(bundle, {}), None, ImportOptions(), tmp_path / "cache")

    assert package.name == "x"
    assert not canary.exists()
    assert not list((tmp_path / "cache").rglob("*.py"))


@pytest.mark.parametrize("file", ["configs/metadata.json", "configs/inference.json", "models/model.pt", "LICENSE"])
def test_pipes_in_a_bundle_are_not_read(tmp_path: Path, file: str) -> None:
    bundle = fb.write_bundle(tmp_path / "x")
    (bundle / file).unlink()
    os.mkfifo(bundle / file)

    reject(bundle, tmp_path)


@pytest.mark.parametrize("name", ["x.pt", "x.pth", "x.ckpt", "x.ts", "x.zip", "x"])
@pytest.mark.parametrize("is_link", [False, True])
def test_pipes_and_devices_in_place_of_a_model_are_not_read(tmp_path: Path, name: str, is_link: bool) -> None:
    if is_link:
        (tmp_path / name).symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / name)

    assert "no model at" in reject(tmp_path / name, tmp_path)


@pytest.mark.parametrize("file", ["configs/metadata.json", "configs/inference.json", "models/model.pt", "configs", "."])
def test_files_that_cannot_be_read_are_one_error(tmp_path: Path, file: str) -> None:
    bundle = fb.write_bundle(tmp_path / "x")
    (bundle / file).chmod(0)

    try:
        if os.access(bundle / file, os.R_OK):
            pytest.skip("this user can read all files")
        reject(bundle, tmp_path)
    finally:
        (bundle / file).chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_one_error(tmp_path: Path) -> None:
    folder = fb.write_bundle(tmp_path / "models" / "x").parent
    folder.chmod(0)

    try:
        if os.access(folder, os.R_OK):
            pytest.skip("this user can read all files")
        reject(folder, tmp_path)
    finally:
        folder.chmod(0o700)


def test_the_size_of_sums_is_limited_in_total(tmp_path: Path) -> None:
    """Without a limit the configuration of 1 MB would become strings of 3 GB."""
    config = fb.make_config(text="x" * 50_000)
    config["inferer"]["sw_device"] = ["$@text + @text"] * 30_000

    reject(fb.write_bundle(tmp_path / "x", config), tmp_path)


def test_many_references_to_keys_that_do_not_exist_take_no_time(tmp_path: Path) -> None:
    """Listing the known keys for each would take half an hour."""
    config = fb.make_config(**{f"key{number}": 0 for number in range(40_000)})
    config["inferer"]["sw_device"] = [f"@missing{number}" for number in range(40_000)]

    reject(fb.write_bundle(tmp_path / "x", config), tmp_path)


def test_many_references_to_a_value_that_is_too_large_take_no_time(tmp_path: Path) -> None:
    """Counting its items for each would take an hour."""
    config = fb.make_config(part=[0] * 1000, large=["@part"] * 200)
    config["inferer"]["sw_device"] = ["@large"] * 50_000

    reject(fb.write_bundle(tmp_path / "x", config), tmp_path)
