"""Model packages say what they take and give, and one that fits is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clickseg.core.errors import ModelError
from clickseg.models.find import choose_package, default_models, find_packages, model_paths
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.spec import ModelSpec
from tests.helpers import phantoms
from tests.helpers.oracles import nets

REPOSITORY = Path(__file__).parents[2]
SHIPPED = ("lesion", "pet_lesion")


def section(modality: str = "CT", **changes: object) -> dict[str, object]:
    unit = {"CT": "HU", "PT": "SUVbw", "MR": ""}[modality]
    inputs = [{"name": modality.lower(), "modality": modality, "unit": unit, "scaling": phantoms.RANGE}]
    return phantoms.metadata(**{"inputs": inputs, **changes})


def package(folder: Path, name: str, modality: str = "CT", **changes: object) -> Path:
    return phantoms.write_package(folder / name, section(modality, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": []}, "inputs: "),
        ({"window": {"roi": [8, 8], "overlap": 0.5}}, r"window\.roi"),
        ({"window": {"roi": [8, 8, 8], "overlap": 1.0}}, r"window\.overlap: .*less than 1"),
        ({"window": {"roi": [0, 8, 8]}}, r"window\.roi\.0"),
        ({"window": {"roi": [1024, 1024, 1024]}}, r"window\.roi: expected at most 134217728 voxels"),
        ({"classes": [phantoms.organ("x" * 65, 1)]}, r"classes\.0\.name"),
        ({"classes": [phantoms.organ("a\\\\b", 1)]}, r"classes\.0\.name"),
        ({"classes": [phantoms.organ("a ", 1)]}, r"classes\.0\.name"),
        ({"grid": {"spacing_mm": [1, 0, 1]}}, r"grid\.spacing_mm\.1: .*greater than or equal to 0\.05, got 0"),
        ({"grid": {"spacing_mm": [1, 1, 1], "orientation": "RAX"}}, r"grid\.orientation"),
        ({"grid": {"spacing_mm": [1, 1, 1], "orientation": "RLS"}}, "one letter of each of RL, AP and SI, got RLS"),
        ({"activation": "relu"}, "activation"),
        ({"classes": [phantoms.organ("a", 0)]}, "expected different ones from 1 to 1"),
        ({"classes": [phantoms.organ("a", 2)]}, "expected different ones from 1 to 1"),
        ({"classes": [phantoms.organ("a", 1), phantoms.organ("b", 1)]}, "expected different ones"),
        ({"classes": [phantoms.organ("a", 1, aliases=["A"])]}, "'a' names two classes"),
        ({"classes": [phantoms.organ("a", 1, colour=[0, 0, 256])]}, r"classes\.0\.colour\.2"),
        ({"guidance": phantoms.GUIDANCE | {"channels": [{"takes": [["x", "foreground"]]}]}}, r"expected labels among"),
        ({"guidance": phantoms.GUIDANCE | {"radius_vox": 33}}, r"guidance\.radius_vox"),
        (
            {"guidance": phantoms.GUIDANCE | {"previous_mask": [{"takes": ["x"]}]}},
            r"guidance\.previous_mask: expected classes of \['hook'\], got \['x'\]",
        ),
        ({"guidance": phantoms.GUIDANCE | {"kind": "gaussian"}}, r"guidance\.kind"),
        ({"postprocessing": {"keep": "some"}}, r"postprocessing\.keep"),
        (
            {"inputs": [phantoms.ANY_MODALITY, *phantoms.metadata()["inputs"]]},
            "inputs.alternatives: expected none where there are several inputs, got 2",
        ),
        (
            {"inputs": [*phantoms.metadata()["inputs"], phantoms.ANY_MODALITY]},
            "inputs.alternatives: expected none where there are several inputs, got 2",
        ),
        (
            {"inputs": [phantoms.ANY_MODALITY | {"modality": "MR", "unit": ""}]},
            r"inputs\.alternatives\.modality: expected different ones, got MR, CT, MR",
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
def test_metadata_that_do_not_fit_are_one_clear_error(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_package(package(tmp_path, "bad", **changes))

    assert str(caught.value).startswith("model bad: metadata.json: clickseg: ")
    assert "\n" not in str(caught.value)


def test_a_folder_without_metadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"metadata\.json: cannot be read"):
        load_package(tmp_path)


def test_a_plain_monai_bundle_says_that_it_lacks_the_section(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text('{"version": "0.1.0"}')

    with pytest.raises(ModelError, match="its metadata hold no clickseg section"):
        load_package(tmp_path)


def test_packages_are_found_alone_and_in_folders(tmp_path: Path) -> None:
    package(tmp_path, "b")
    package(tmp_path, "a")
    (tmp_path / "README.md").write_text("not a package")
    (tmp_path / "plain" / "configs").mkdir(parents=True)
    (tmp_path / "plain" / "configs" / "metadata.json").write_text("{}")

    assert [p.name for p in find_packages(model_paths(tmp_path, {}))] == ["a", "b"]
    assert [p.name for p in find_packages(model_paths(tmp_path / "b", {}))] == ["b"]


def test_the_command_line_wins_over_the_environment_and_that_over_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("option", "clickseg", "holoscan", "cwd/models"):
        package(tmp_path / place, place.partition("/")[0])
    monkeypatch.chdir(tmp_path / "cwd")
    environ = {"CLICKSEG_MODELS": str(tmp_path / "clickseg"), "HOLOSCAN_MODEL_PATH": str(tmp_path / "holoscan")}

    def found(explicit: Path | None, environ: dict[str, str]) -> str:
        return " ".join(each.name for each in find_packages(model_paths(explicit, environ)))

    assert found(tmp_path / "option", environ) == "option"
    assert found(None, environ) == "clickseg"
    assert found(None, {"HOLOSCAN_MODEL_PATH": environ["HOLOSCAN_MODEL_PATH"]}) == "holoscan"
    with pytest.raises(ModelError, match="no model package at"):
        found(None, {"HOLOSCAN_MODEL_PATH": str(tmp_path / "nowhere")})
    (tmp_path / "empty").mkdir()
    assert found(None, {"HOLOSCAN_MODEL_PATH": str(tmp_path / "empty")}) == "cwd"
    monkeypatch.chdir(tmp_path)
    assert found(None, {}) == "lesion pet_lesion"


def test_the_default_models_are_those_of_the_wheel_or_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "site-packages" / "clickseg" / "_models").mkdir(parents=True)

    assert (
        default_models(tmp_path / "site-packages" / "clickseg") == tmp_path / "site-packages" / "clickseg" / "_models"
    )
    assert default_models(tmp_path / "checkout" / "clickseg") == tmp_path / "checkout" / "models"


@pytest.mark.parametrize("environ", [{}, {"CLICKSEG_MODELS": "nowhere"}])
def test_a_place_that_was_named_must_hold_a_package(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="no model package at"):
        find_packages(model_paths(None if environ else tmp_path, environ))


def packages(folder: Path, *described: tuple[str, str, bool]) -> tuple[ModelPackage, ...]:
    for name, modality, default in described:
        package(folder, name, modality, default=default)
    return find_packages(model_paths(folder, {}))


def test_the_one_that_fits_is_taken(tmp_path: Path) -> None:
    found = packages(tmp_path, ("ct", "CT", False), ("pet", "PT", False))

    assert choose_package(found, {"PT", "MR"}, {"PT", "MR"}).name == "pet"


def test_of_several_that_fit_the_default_is_taken(tmp_path: Path) -> None:
    found = packages(tmp_path, ("a", "CT", False), ("b", "CT", True), ("c", "CT", False))

    assert choose_package(found, {"CT"}, {"CT"}).name == "b"


@pytest.mark.parametrize("default", [False, True])
def test_several_that_fit_are_an_error_that_lists_them(tmp_path: Path, default: bool) -> None:
    found = packages(tmp_path, ("a", "CT", default), ("b", "PT", default))

    with pytest.raises(ModelError, match=r"several models fit: a \(for CT\), b \(for PT\)") as caught:
        choose_package(found, {"CT", "PT"}, {"CT", "PT"})
    assert caught.value.hint == "name one with --model"


def test_none_that_fits_is_an_error_that_lists_all(tmp_path: Path) -> None:
    found = packages(tmp_path, ("a", "CT", False), ("b", "PT", False))

    with pytest.raises(ModelError, match=r"no model for MR series: there are a \(for CT\), b \(for PT\)"):
        choose_package(found, {"MR"}, {"MR"})


def test_a_named_model_is_found_or_missed(tmp_path: Path) -> None:
    packages(tmp_path, ("a", "CT", False), ("b", "PT", False))

    assert [each.name for each in find_packages(model_paths(tmp_path, {}), "b")] == ["b"]
    with pytest.raises(ModelError, match="no model 'x': expected one of a, b"):
        find_packages(model_paths(tmp_path, {}), "x")


def test_a_damaged_package_is_not_in_the_way_of_a_named_one(tmp_path: Path) -> None:
    package(tmp_path, "good")
    (package(tmp_path, "bad") / "configs" / "metadata.json").write_text('{"clickseg": {"inputs": 3}}')

    assert [each.name for each in find_packages(model_paths(tmp_path, {}), "good")] == ["good"]
    with pytest.raises(ModelError, match="model bad: "):
        find_packages(model_paths(tmp_path, {}))


def test_torchscript_in_a_folder_of_packages_is_not_taken_unasked(tmp_path: Path) -> None:
    package(tmp_path, "good")
    (tmp_path / "program.ts").write_bytes(b"PK")

    assert [each.name for each in find_packages(model_paths(tmp_path, {}))] == ["good"]


@pytest.mark.parametrize("content", ["[]", '"text"', "3"])
def test_metadata_that_are_no_object_are_one_clear_error(tmp_path: Path, content: str) -> None:
    (package(tmp_path, "odd") / "configs" / "metadata.json").write_text(content)

    with pytest.raises(ModelError, match="model odd: its metadata hold no clickseg section"):
        load_package(tmp_path / "odd")


def test_a_model_with_two_inputs_needs_both(tmp_path: Path) -> None:
    two = [each for modality in ("PT", "CT") for each in section(modality)["inputs"]]
    phantoms.write_package(tmp_path / "petct", phantoms.metadata(inputs=two))
    found = find_packages(model_paths(tmp_path, {}))

    assert choose_package(found, {"PT"}, {"PT", "CT"}).name == "petct"
    with pytest.raises(ModelError, match=r"petct \(for PT \+ CT\)"):
        choose_package(found, {"PT"}, {"PT"})


@pytest.fixture
def either(tmp_path: Path) -> tuple[ModelPackage, ...]:
    """The default for PET, and a package for PET, CT or MR."""
    package(tmp_path, "lesion", inputs=[phantoms.ANY_MODALITY])
    return packages(tmp_path, ("pet_lesion", "PT", True))


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
def test_a_package_for_several_modalities_is_taken_where_the_default_does_not_fit(
    either: tuple[ModelPackage, ...], wanted: set[str], name: str
) -> None:
    assert choose_package(either, wanted, {"PT", "CT", "MR"}).name == name


def test_a_package_says_which_modalities_it_takes(tmp_path: Path) -> None:
    two = [each for modality in ("PT", "CT") for each in section(modality)["inputs"]]
    inputs = {"either": [phantoms.ANY_MODALITY], "both": two}
    found = [load_package(package(tmp_path, name, inputs=each)) for name, each in inputs.items()]

    assert [each.takes for each in found] == ["PT or CT or MR", "PT + CT"]
    with pytest.raises(ModelError, match=r"there are either \(for PT or CT or MR\)"):
        choose_package(found[:1], {"US"}, {"US"})


def test_for_one_of_its_modalities_a_package_is_as_if_made_for_it_alone(tmp_path: Path) -> None:
    rules = {"keep": "clicked", "min_volume_ml": 0.5}
    alone = {
        "PT": ("SUVbw", phantoms.SUV_RANGE, 1.5),
        "CT": ("HU", phantoms.RANGE | {"a_min": -600}, None),
        "MR": ("", {"kind": "zscore"}, 35),
    }
    made = load_package(
        package(tmp_path, "any", inputs=[phantoms.ANY_MODALITY], postprocessing=rules | {"min_value": 1.5})
    )

    for modality, (unit, scaling, min_value) in alone.items():
        inputs = [{"name": "image", "modality": modality, "unit": unit, "scaling": scaling}]
        only = package(tmp_path, modality, inputs=inputs, postprocessing=rules | {"min_value": min_value})
        expected = load_package(only).spec
        assert made.for_modality(modality).spec == expected
        assert made.for_modality(modality).for_modality(modality).spec == expected


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
def test_the_weights_of_a_shipped_model_are_those_that_it_lists(name: str, weights: str) -> None:
    assert load_package(REPOSITORY / "models" / name).weights(weights).sha256


def test_shipped_models_are_small() -> None:
    files = [path for path in (REPOSITORY / "models").rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) < 30e6


def test_only_clicks_say_what_the_model_for_all_modalities_is_to_find() -> None:
    guidance = {name: load_package(REPOSITORY / "models" / name).spec.guidance for name in SHIPPED}

    assert {name: each.required for name, each in guidance.items() if each} == {"lesion": True, "pet_lesion": False}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_carries_its_attribution(name: str) -> None:
    folder = REPOSITORY / "models" / name

    assert "CC BY 3.0" in (folder / "docs" / "README.md").read_text()
    assert "10.7937/K9/TCIA.2015.7GO2GSKS" in json.dumps(json.loads((folder / "configs" / "metadata.json").read_text()))
