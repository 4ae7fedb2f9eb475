"""The metadata of model packages are checked, and the package for the series is chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clickseg.core.errors import ModelError
from clickseg.models.find import choose_package, default_models_folder, find_packages, model_paths
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.oracles import nets

REPOSITORY = Path(__file__).parents[2]
SHIPPED = ("lesion", "pet_lesion")


def make_section(modality: str = "CT", **changes: object) -> dict[str, object]:
    unit = {"CT": "HU", "PT": "SUVbw", "MR": ""}[modality]
    inputs = [{"name": modality.lower(), "modality": modality, "unit": unit, "scaling": phantoms.RANGE}]
    return phantoms.metadata(**{"inputs": inputs, **changes})


def write_package(folder: Path, name: str, modality: str = "CT", **changes: object) -> Path:
    return phantoms.write_package(folder / name, make_section(modality, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": []}, "inputs: "),
        ({"window": {"roi": [8, 8], "overlap": 0.5}}, r"window\.roi"),
        ({"window": {"roi": [8, 8, 8], "overlap": 1.0}}, r"window\.overlap: .*less than 1"),
        ({"window": {"roi": [8, 8, 8], "placement": "odd"}}, r"window\.placement"),
        ({"mirror_axes": [3]}, r"mirror_axes\.0"),
        ({"mirror_axes": [1, 0]}, r"mirror_axes: expected different axes in ascending order, got \[1, 0\]"),
        ({"mirror_axes": [1, 1]}, "mirror_axes: expected different axes"),
        ({"window": {"roi": [0, 8, 8]}}, r"window\.roi\.0"),
        ({"window": {"roi": [1024, 1024, 1024]}}, r"window\.roi: expected at most 134217728 voxels"),
        ({"classes": [phantoms.organ("x" * 65, 1)]}, r"classes\.0\.name"),
        ({"classes": [phantoms.organ("a\\\\b", 1)]}, r"classes\.0\.name"),
        ({"classes": [phantoms.organ("a ", 1)]}, r"classes\.0\.name"),
        ({"grid": {"spacing_mm": [1, 0, 1]}}, r"grid\.spacing_mm\.1: .*greater than or equal to 0\.05, got 0"),
        ({"grid": {"spacing_mm": [1, 1, 1], "orientation": "RAX"}}, r"grid\.orientation"),
        ({"grid": {"spacing_mm": [1, 1, 1], "orientation": "RLS"}}, "one letter of each of RL, AP and SI, got RLS"),
        ({"activation": "relu"}, "activation"),
        ({"overwrite": True}, "overwrite: expected activation sigmoid, got softmax"),
        (
            {"heads": [2, 3], "output_channels": 4},
            r"heads: .* the sum 4, got softmax and \[2, 3\]",
        ),
        ({"heads": [2, 2], "output_channels": 4, "activation": "sigmoid"}, "heads: expected activation softmax"),
        (
            {"heads": [2, 2], "output_channels": 4, "classes": [phantoms.organ("a", 2)]},
            "a has the first channel of a head, which is its background",
        ),
        ({"inputs": [phantoms.metadata()["inputs"][0] | {"descriptions": [""]}]}, r"inputs\.0\.descriptions\.0"),
        ({"classes": [phantoms.organ("a", 0)]}, "expected different channels from 1 to 1, got"),
        ({"classes": [phantoms.organ("a", 2)]}, "expected different channels from 1 to 1, got"),
        ({"classes": [phantoms.organ("a", 1), phantoms.organ("b", 1)]}, "expected different channels"),
        ({"classes": [phantoms.organ("a", 1, aliases=["A"])]}, "classes: the name or alias 'a' is used more than once"),
        ({"classes": [phantoms.organ("a", 1, colour=[0, 0, 256])]}, r"classes\.0\.colour\.2"),
        ({"guidance": phantoms.GUIDANCE | {"channels": [{"takes": [["x", "foreground"]]}]}}, r"expected labels among"),
        ({"guidance": phantoms.GUIDANCE | {"radius_vox": 33}}, r"guidance\.radius_vox"),
        (
            {"guidance": phantoms.GUIDANCE | {"previous_mask": [{"takes": ["x"]}]}},
            r"guidance\.previous_mask\.takes: expected classes among \['hook'\], got \['x'\]",
        ),
        ({"guidance": phantoms.GUIDANCE | {"kind": "gaussian"}}, r"guidance\.kind"),
        ({"postprocessing": {"keep": "some"}}, r"postprocessing\.keep"),
        (
            {"inputs": [phantoms.ANY_MODALITY, *phantoms.metadata()["inputs"]]},
            "inputs.alternatives: expected a model with one input, got 2 inputs",
        ),
        (
            {"inputs": [*phantoms.metadata()["inputs"], phantoms.ANY_MODALITY]},
            "inputs.alternatives: expected a model with one input, got 2 inputs",
        ),
        (
            {"inputs": [phantoms.ANY_MODALITY | {"modality": "MR", "unit": ""}]},
            r"inputs\.alternatives\.modality: expected each modality once, got MR, CT, MR",
        ),
        (
            {"inputs": [phantoms.ANY_MODALITY | {"alternatives": [{"modality": "US"}]}]},
            r"inputs\.0\.alternatives\.0\.modality: ",
        ),
        (
            {"inputs": [phantoms.ANY_MODALITY | {"alternatives": [{"modality": "CT", "unit": "HU"}]}]},
            r"inputs\.0\.alternatives\.0\.scaling: missing",
        ),
        ({"weights": {"model.xml": "abc"}}, r"weights\.model\.xml"),
        ({"weights": {"../../secret.xml": "0" * 64}}, r"weights\.\.\./\.\./secret\.xml"),
        ({"weights": {"/etc/passwd": "0" * 64}}, r"weights\./etc/passwd"),
        ({"surprise": 1}, "surprise: unknown field"),
    ],
)
def test_invalid_metadata_are_one_clear_error(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_package(write_package(tmp_path, "bad", **changes))

    assert str(caught.value).startswith("model bad: metadata.json: clickseg: ")
    assert "\n" not in str(caught.value)


def test_fields_of_nnunet_are_written_only_if_they_are_used(tmp_path: Path) -> None:
    window = {"roi": [8, 8, 8], "placement": "even", "mode": "nnunet"}
    plain = load_package(write_package(tmp_path, "plain")).spec.model_dump(mode="json")
    changed = load_package(write_package(tmp_path, "nnunet", window=window, mirror_axes=[0, 2])).spec
    written = changed.model_dump(mode="json")

    assert not {"placement", "mode", "mirror_axes"} & {*plain, *plain["window"]}  # UIDs and sessions stay the same
    assert (written["window"]["placement"], written["window"]["mode"]) == ("even", "nnunet")
    assert written["mirror_axes"] == [0, 2]


def test_heads_and_further_scalings_are_written_only_if_they_are_used(tmp_path: Path) -> None:
    (entry,) = phantoms.metadata()["inputs"]
    changes = {"heads": [2, 3], "output_channels": 5, "inputs": [entry | {"further_scalings": [entry["scaling"]]}]}
    plain = load_package(write_package(tmp_path, "plain")).spec.model_dump(mode="json")
    written = load_package(phantoms.write_package(tmp_path / "changed", phantoms.metadata(**changes))).spec.model_dump()

    assert ("heads" in plain, "further_scalings" in plain["inputs"][0]) == (False, False)
    assert (written["heads"], len(written["inputs"][0]["further_scalings"])) == ((2, 3), 1)


def test_overwrite_and_descriptions_are_written_only_if_they_are_used(tmp_path: Path) -> None:
    (entry,) = phantoms.metadata()["inputs"]
    changes = {"activation": "sigmoid", "overwrite": True, "inputs": [entry | {"descriptions": ["*t1*"]}]}
    plain = load_package(write_package(tmp_path, "plain")).spec.model_dump(mode="json")
    changed = load_package(phantoms.write_package(tmp_path / "changed", phantoms.metadata(**changes))).spec
    written = changed.model_dump(mode="json")

    assert ("overwrite" in plain, "descriptions" in plain["inputs"][0]) == (False, False)
    assert (written["overwrite"], written["inputs"][0]["descriptions"]) == (True, ["*t1*"])
    assert not changed.has_overlapping_classes


def test_a_folder_without_metadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"metadata\.json: cannot be read"):
        load_package(tmp_path)


def test_a_monai_bundle_without_the_clickseg_section_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text('{"version": "0.1.0"}')

    with pytest.raises(ModelError, match="its metadata contain no clickseg section"):
        load_package(tmp_path)


def test_a_path_can_be_a_package_or_a_folder_of_packages(tmp_path: Path) -> None:
    write_package(tmp_path, "b")
    write_package(tmp_path, "a")
    (tmp_path / "README.md").write_text("not a package")
    (tmp_path / "plain" / "configs").mkdir(parents=True)
    (tmp_path / "plain" / "configs" / "metadata.json").write_text("{}")

    assert [package.name for package in find_packages(model_paths(tmp_path, {}))] == ["a", "b"]
    assert [package.name for package in find_packages(model_paths(tmp_path / "b", {}))] == ["b"]


def test_the_command_line_takes_precedence_over_the_environment_and_that_over_the_default_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("option", "clickseg", "holoscan", "cwd/models"):
        write_package(tmp_path / folder, folder.partition("/")[0])
    monkeypatch.chdir(tmp_path / "cwd")
    environ = {"CLICKSEG_MODELS": str(tmp_path / "clickseg"), "HOLOSCAN_MODEL_PATH": str(tmp_path / "holoscan")}

    def package_names(explicit: Path | None, environ: dict[str, str]) -> str:
        return " ".join(package.name for package in find_packages(model_paths(explicit, environ)))

    assert package_names(tmp_path / "option", environ) == "option"
    assert package_names(None, environ) == "clickseg"
    assert package_names(None, {"HOLOSCAN_MODEL_PATH": environ["HOLOSCAN_MODEL_PATH"]}) == "holoscan"
    with pytest.raises(ModelError, match="no model at"):
        package_names(None, {"HOLOSCAN_MODEL_PATH": str(tmp_path / "missing")})
    (tmp_path / "empty").mkdir()
    assert package_names(None, {"HOLOSCAN_MODEL_PATH": str(tmp_path / "empty")}) == "cwd"
    monkeypatch.chdir(tmp_path)
    assert package_names(None, {}) == "lesion pet_lesion"


def test_the_default_models_are_in_the_wheel_or_in_the_checkout(tmp_path: Path) -> None:
    wheel = tmp_path / "site-packages" / "clickseg"
    (wheel / "_models").mkdir(parents=True)

    assert (
        default_models_folder(tmp_path / "site-packages" / "clickseg")
        == tmp_path / "site-packages" / "clickseg" / "_models"
    )
    assert default_models_folder(tmp_path / "checkout" / "clickseg") == tmp_path / "checkout" / "models"


@pytest.mark.parametrize("environ", [{}, {"CLICKSEG_MODELS": "missing"}])
def test_a_path_that_the_user_names_must_contain_a_package(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="no model at"):
        find_packages(model_paths(None if environ else tmp_path, environ))


def write_and_find_packages(folder: Path, *descriptions: tuple[str, str, bool]) -> tuple[ModelPackage, ...]:
    for name, modality, default in descriptions:
        write_package(folder, name, modality, default=default)
    return find_packages(model_paths(folder, {}))


def test_the_only_suitable_package_is_used(tmp_path: Path) -> None:
    packages = write_and_find_packages(tmp_path, ("ct", "CT", False), ("pet", "PT", False))

    assert choose_package(packages, {"PT", "MR"}, {"PT", "MR"}).name == "pet"


def test_of_several_suitable_packages_the_default_is_used(tmp_path: Path) -> None:
    packages = write_and_find_packages(tmp_path, ("a", "CT", False), ("b", "CT", True), ("c", "CT", False))

    assert choose_package(packages, {"CT"}, {"CT"}).name == "b"


@pytest.mark.parametrize("default", [False, True])
def test_several_suitable_packages_are_an_error_that_lists_them(tmp_path: Path, default: bool) -> None:
    packages = write_and_find_packages(tmp_path, ("a", "CT", default), ("b", "PT", default))

    with pytest.raises(ModelError, match=r"several models fit: a \(for CT\), b \(for PT\)") as caught:
        choose_package(packages, {"CT", "PT"}, {"CT", "PT"})
    assert caught.value.hint == "name one with --model"


def test_no_suitable_package_is_an_error_that_lists_all(tmp_path: Path) -> None:
    packages = write_and_find_packages(tmp_path, ("a", "CT", False), ("b", "PT", False))

    with pytest.raises(ModelError, match=r"no model for MR series: available models: a \(for CT\), b \(for PT\)"):
        choose_package(packages, {"MR"}, {"MR"})


def test_a_model_is_found_by_its_name(tmp_path: Path) -> None:
    write_and_find_packages(tmp_path, ("a", "CT", False), ("b", "PT", False))

    assert [package.name for package in find_packages(model_paths(tmp_path, {}), "b")] == ["b"]
    with pytest.raises(ModelError, match="no model 'x': expected one of a, b"):
        find_packages(model_paths(tmp_path, {}), "x")


def test_a_damaged_package_does_not_affect_one_that_is_named(tmp_path: Path) -> None:
    write_package(tmp_path, "good")
    (write_package(tmp_path, "bad") / "configs" / "metadata.json").write_text('{"clickseg": {"inputs": 3}}')

    assert [package.name for package in find_packages(model_paths(tmp_path, {}), "good")] == ["good"]
    with pytest.raises(ModelError, match="model bad: "):
        find_packages(model_paths(tmp_path, {}))


def test_torchscript_in_a_folder_of_packages_is_ignored(tmp_path: Path) -> None:
    write_package(tmp_path, "good")
    (tmp_path / "program.ts").write_bytes(b"PK")

    assert [package.name for package in find_packages(model_paths(tmp_path, {}))] == ["good"]


@pytest.mark.parametrize("content", ["[]", '"text"', "3"])
def test_metadata_that_are_not_an_object_are_one_clear_error(tmp_path: Path, content: str) -> None:
    (write_package(tmp_path, "odd") / "configs" / "metadata.json").write_text(content)

    with pytest.raises(ModelError, match="model odd: its metadata contain no clickseg section"):
        load_package(tmp_path / "odd")


def test_a_model_with_two_inputs_needs_both(tmp_path: Path) -> None:
    two = [image for modality in ("PT", "CT") for image in make_section(modality)["inputs"]]
    phantoms.write_package(tmp_path / "petct", phantoms.metadata(inputs=two))
    packages = find_packages(model_paths(tmp_path, {}))

    assert choose_package(packages, {"PT"}, {"PT", "CT"}).name == "petct"
    with pytest.raises(ModelError, match=r"petct \(for PT \+ CT\)"):
        choose_package(packages, {"PT"}, {"PT"})


@pytest.fixture
def two_packages(tmp_path: Path) -> tuple[ModelPackage, ...]:
    """The default for PET, and a package for PET, CT or MR."""
    write_package(tmp_path, "lesion", inputs=[phantoms.ANY_MODALITY])
    return write_and_find_packages(tmp_path, ("pet_lesion", "PT", True))


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ({"PT"}, "pet_lesion"),
        ({"PT", "CT"}, "pet_lesion"),
        ({"CT"}, "lesion"),
        ({"MR"}, "lesion"),
        ({"CT", "MR"}, "lesion"),
    ],
)
def test_a_package_for_several_modalities_is_used_if_the_default_is_not_suitable(
    two_packages: tuple[ModelPackage, ...], wanted: set[str], name: str
) -> None:
    assert choose_package(two_packages, wanted, {"PT", "CT", "MR"}).name == name


def test_the_modalities_of_a_package_as_text(tmp_path: Path) -> None:
    two = [image for modality in ("PT", "CT") for image in make_section(modality)["inputs"]]
    inputs = {"either": [phantoms.ANY_MODALITY], "both": two}
    packages = [load_package(write_package(tmp_path, name, inputs=images)) for name, images in inputs.items()]

    assert [package.modalities_text for package in packages] == ["PT or CT or MR", "PT + CT"]
    with pytest.raises(ModelError, match=r"available models: either \(for PT or CT or MR\)"):
        choose_package(packages[:1], {"US"}, {"US"})


def test_for_one_modality_a_package_equals_one_for_this_modality_only(tmp_path: Path) -> None:
    rules = {"keep": "clicked", "min_volume_ml": 0.5}
    single = {
        "PT": ("SUVbw", phantoms.SUV_RANGE, 1.5),
        "CT": ("HU", phantoms.RANGE | {"a_min": -600}, None),
        "MR": ("", {"kind": "zscore"}, 35),
    }
    combined = load_package(
        write_package(tmp_path, "any", inputs=[phantoms.ANY_MODALITY], postprocessing=rules | {"min_value": 1.5})
    )

    for modality, (unit, scaling, min_value) in single.items():
        inputs = [{"name": "image", "modality": modality, "unit": unit, "scaling": scaling}]
        path = write_package(tmp_path, modality, inputs=inputs, postprocessing=rules | {"min_value": min_value})
        expected = load_package(path).spec
        assert combined.for_modality(modality).spec == expected
        assert combined.for_modality(modality).for_modality(modality).spec == expected


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_a_monai_bundle(name: str) -> None:
    from monai.bundle import ConfigParser

    folder = REPOSITORY / "models" / name
    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    parser.read_meta(str(folder / "configs" / "metadata.json"))

    network = parser.get_parsed_content("network_def")

    assert isinstance(network, nets.DynUNet)
    outputs = parser["_meta_"]["network_data_format"]["outputs"]["pred"]
    spec = ModelSpec.model_validate(parser["_meta_"]["clickseg"])
    assert outputs["num_channels"] == spec.output_channels
    assert outputs["channel_def"] == {"0": "background", "1": "lesion"}
    assert spec.window.roi == (64, 64, 64)
    assert (spec.postprocessing.min_value, spec.postprocessing.keep) == (None, "clicked")


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("weights", ["model.pt", "model.xml", "model.bin"])
def test_the_weights_of_a_shipped_model_match_their_digests(name: str, weights: str) -> None:
    assert load_package(REPOSITORY / "models" / name).verify_weights(weights).sha256


def test_shipped_models_are_small() -> None:
    files = [path for path in (REPOSITORY / "models").rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) < 30e6


def test_only_the_model_for_all_modalities_requires_clicks() -> None:
    guidance = {name: load_package(REPOSITORY / "models" / name).spec.guidance for name in SHIPPED}

    assert {name: spec.required for name, spec in guidance.items() if spec} == {"lesion": True, "pet_lesion": False}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_contains_its_attribution(name: str) -> None:
    folder = REPOSITORY / "models" / name

    assert "CC BY 3.0" in (folder / "docs" / "README.md").read_text()
    assert "10.7937/K9/TCIA.2015.7GO2GSKS" in json.dumps(json.loads((folder / "configs" / "metadata.json").read_text()))
