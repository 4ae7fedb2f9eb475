"""The Python API gives what the command gives, in memory; the examples in README and docs are run."""

from __future__ import annotations

import gc
import io
import json
import logging
import re
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

import clickseg
from clickseg.clicks.click import Click, Clicks, Polarity
from clickseg.clicks.formats.clicks_json import write_clicks_json
from clickseg.core.errors import ClickError, EngineError, InputError, ModelError, SeriesError, SessionError, UsageError
from clickseg.datasets.phantom import becquerel_per_ml
from clickseg.inference.case import Prepared
from tests.helpers import phantoms, runs

REPOSITORY = Path(__file__).parents[1]
INSIDE = runs.click(9, 11, 13)
OUTSIDE = runs.click(3, 3, 4, polarity=Polarity.BACKGROUND)

pytestmark = pytest.mark.usefixtures("clean_environ")


@pytest.fixture(autouse=True)
def clock_and_cache(
    monkeypatch: pytest.MonkeyPatch, clean_environ: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def model(models: Path) -> clickseg.Model:
    return clickseg.load_model(models / "thresholder")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT with a hook, and a click in a file."""
    return runs.write_input(tmp_path_factory.mktemp("study"), INSIDE)


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What ClickSeg logs, whatever the command has set in this process."""
    monkeypatch.setattr(logging.getLogger("clickseg"), "propagate", True)
    return caplog


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder but for the report, which holds how long a run took."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "report.json"}


def report(folder: Path) -> dict[str, object]:
    """The report of a run without what it measured of the machine."""
    found = json.loads((folder / "report.json").read_text())
    del found["peak_memory_mb"]
    for entry in found["series"]:
        entry["seconds"] = sorted(entry["seconds"])
    return found


def saved(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


# What is imported


def modules_after(code: str) -> set[str]:
    """The libraries that a fresh process has imported after some code."""
    code += "\nimport sys; print(*(name for name in sys.modules if '.' not in name))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stdout.split()) & {"highdicom", "monai", "numpy", "openvino", "pydicom", "torch"}


def test_importing_clickseg_imports_no_library() -> None:
    assert modules_after("import clickseg; dir(clickseg); clickseg.__version__") == set()


def test_a_name_imports_only_what_it_needs() -> None:
    assert modules_after("from clickseg import ClickSegError") == set()
    assert modules_after("from clickseg import Click, Polarity") == {"numpy"}
    assert "openvino" not in modules_after("from clickseg import *")


def test_every_public_name_is_there_and_listed() -> None:
    assert set(clickseg.__all__) <= set(dir(clickseg))
    assert all(getattr(clickseg, name) is not None for name in clickseg.__all__)
    assert clickseg.Click is Click


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'clickseg' has no attribute 'Clicks'"):
        clickseg.Clicks  # noqa: B018 - looking it up is the test


# segment


def test_segment_writes_the_files_of_the_command_and_returns_them(tmp_path: Path, study: Path, models: Path) -> None:
    command, api = tmp_path / "command", tmp_path / "api"

    ended = runs.clickseg("segment", study, "-o", command, "-m", models, "--device", "cpu")
    result = clickseg.segment(study, api, model=models / "thresholder", device="cpu")[0]

    assert ended.returncode == 0, ended.stderr
    assert files(api) == files(command)
    assert report(api) == report(command)
    assert sorted(result.files) == ["preview", "seg", "sr"]
    assert saved(result.seg) == result.files["seg"].read_bytes()
    assert saved(result.sr) == result.files["sr"].read_bytes()


def test_without_an_output_the_results_are_the_same_and_nothing_is_written(
    tmp_path: Path, study: Path, model: clickseg.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(study.rglob("*"))
    written = clickseg.segment(study, tmp_path / "out", model=model)[0]

    in_memory = clickseg.segment(str(study), model=model)[0]

    assert in_memory.files == {}
    assert saved(in_memory.seg) == saved(written.seg)
    assert saved(in_memory.sr) == saved(written.sr)
    assert sorted(study.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_result_has_its_classes_where_they_are_in_millimetres(study: Path, model: clickseg.Model) -> None:
    result = clickseg.segment(study, model=model)[0]

    expected = runs.expected(INSIDE)
    np.testing.assert_array_equal(result.labels.array, expected)
    np.testing.assert_array_equal(result.mask("hook"), expected)
    np.testing.assert_allclose(result.geometry.spacing, [3.1, 1.7, 0.9], atol=1e-6)
    np.testing.assert_allclose(
        result.geometry.map_indices_to_reference(np.argwhere(result.mask("hook"))),
        runs.GEOMETRY.map_indices_to_reference(np.argwhere(expected)),
        atol=1e-4,
    )
    assert result.measurements["hook"].volume_ml == pytest.approx(expected.sum() * 3.1 * 1.7 * 0.9 / 1000)
    assert (result.classes, result.clicks) == (("hook",), (INSIDE,))
    assert result.series_uid == str(result.seg.ReferencedSeriesSequence[0].SeriesInstanceUID)


def test_clicks_come_from_the_input_a_file_several_files_or_memory(
    tmp_path: Path, study: Path, model: clickseg.Model
) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, each in zip(paths, (INSIDE, OUTSIDE), strict=True):
        write_clicks_json(Clicks((each,)), path)

    def found(clicks: object) -> np.ndarray:
        return clickseg.segment(study, model=model, clicks=clicks)[0].mask("hook")

    np.testing.assert_array_equal(found(None), runs.expected(INSIDE))
    np.testing.assert_array_equal(found(str(paths[1])), runs.expected(OUTSIDE))
    np.testing.assert_array_equal(found(paths), runs.expected(INSIDE, OUTSIDE))
    np.testing.assert_array_equal(found([OUTSIDE]), runs.expected(OUTSIDE))
    np.testing.assert_array_equal(found([]), runs.expected())


def test_a_series_in_memory_gives_the_documents_of_its_folder(study: Path, model: clickseg.Model) -> None:
    series = clickseg.read_series(study)

    result = clickseg.segment(series, model=model, clicks=[INSIDE])[0]

    assert saved(result.seg) == saved(clickseg.segment(study, model=model)[0].seg)
    assert clickseg.segment([series], model=model)[0].clicks == ()


def test_a_series_in_memory_is_written_as_the_command_does(tmp_path: Path, study: Path, model: clickseg.Model) -> None:
    clickseg.segment(study, tmp_path / "of folder", model=model)
    series = clickseg.read_series(study)

    clickseg.segment(series, tmp_path / "of series", model=model, clicks=study / "clicks.json")

    assert files(tmp_path / "of series") == files(tmp_path / "of folder")


def test_nothing_found_has_no_segmentation(tmp_path: Path, model: clickseg.Model) -> None:
    phantoms.write(tmp_path / "CT", phantoms.hook(runs.GEOMETRY, -500, -700))

    result = clickseg.segment(tmp_path, model=model)[0]

    assert result.seg is None
    assert result.measurements == {}
    assert not result.mask("hook").any()
    assert result.sr.Modality == "SR"


def test_a_series_that_fails_is_told_beside_the_results_of_the_others(
    tmp_path: Path, model: clickseg.Model, logs: pytest.LogCaptureFixture
) -> None:
    study = runs.write_input(tmp_path / "in", name="whole")
    broken = runs.write_input(study / "more", name="broken") / "CT"
    phantoms.change(broken, lambda image: setattr(image, "PixelData", image.PixelData[:-2]))

    results = clickseg.segment(study, tmp_path / "out", model=model)

    (result,), (failed,) = results, results.errors
    assert result.series_uid == str(phantoms.header("CT", "whole").SeriesInstanceUID)
    assert failed.series_uid == str(phantoms.header("CT", "broken").SeriesInstanceUID)
    assert isinstance(failed.error, InputError)
    assert str(failed.error) in logs.text
    assert (tmp_path / "out" / "report.json").is_file()


def test_the_error_is_raised_where_every_series_fails_and_nothing_is_written(
    tmp_path: Path, study: Path, model: clickseg.Model
) -> None:
    far = Click("hook", Polarity.FOREGROUND, (1e6, 0, 0))

    with pytest.raises(ClickError, match=r"click 1: .* lies outside the series"):
        clickseg.segment(study, tmp_path / "out", model=model, clicks=[far])

    assert not (tmp_path / "out").exists()


def test_a_hint_is_shown_below_a_traceback() -> None:
    error = clickseg.ClickSegError("no", hint="do this")

    assert getattr(error, "__notes__", ["hint: do this"]) == ["hint: do this"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"clicks": [(1.0, 2.0, 3.0)]},
            UsageError,
            "expected paths of click files, or Click objects, got tuple",
        ),
        ({"clicks": 5}, UsageError, "expected paths of click files, or Click objects, got int"),
        ({"clicks": "nowhere.json"}, ClickError, "nowhere.json: cannot be read"),
        ({"device": "tpu"}, UsageError, "device: expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        ({"model": "no model"}, ModelError, "no model 'no model': expected one of lesion, pet_lesion"),
        ({"input": []}, UsageError, "expected at least one series, got none"),
        ({"input": "nowhere"}, InputError, "no such file or folder: nowhere"),
        ({"input": None}, UsageError, "input: expected Series, or several, got NoneType"),
        ({"input": ["nowhere"]}, UsageError, "input: expected Series, got str"),
        ({"output": 5}, UsageError, "output: expected a path, got int"),
        ({"device": None}, UsageError, "device: expected str, got NoneType"),
        ({"model": 5}, UsageError, "model: expected a path, got int"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    arguments: dict[str, object],
    kind: type[Exception],
    message: str,
    study: Path,
    model: clickseg.Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(kind, match=message):
        clickseg.segment(**{"input": study, "output": "out", "model": model} | arguments)

    assert list(tmp_path.iterdir()) == []


def test_arguments_of_another_type_are_refused(study: Path, model: clickseg.Model) -> None:
    series = clickseg.read_series(study)

    with pytest.raises(UsageError, match="path: expected a path, got int"):
        clickseg.read_series(5)
    with pytest.raises(UsageError, match="model: expected ModelPackage, got str"):
        clickseg.Session(series, "thresholder")
    with pytest.raises(UsageError, match="series: expected Series, or several, got str"):
        clickseg.Session(str(study), model)
    with pytest.raises(UsageError, match="folder: expected a path, got int"):
        clickseg.Session(series, model, folder=5)
    with clickseg.Session(series, model) as session:
        with pytest.raises(UsageError, match="clicks: expected Click, got tuple"):
            session.add_click((1.0, 2.0, 3.0))
        with pytest.raises(ClickError, match="remove: expected a click from 1 to 0, got '1'"):
            session.remove_click("1")
        with pytest.raises(SessionError, match="user: expected a name"):
            session.reset(user=5)
        assert session.steps == ()


def test_a_series_that_failed_is_not_kept_in_memory(
    study: Path, model: clickseg.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = []

    def fail(prepared: Prepared, *_: object) -> None:
        volumes.append(weakref.ref(prepared.case.reference.volume))
        raise EngineError("no memory") from ValueError("the cause")

    monkeypatch.setattr("clickseg.batch.steps.infer", fail)
    with pytest.raises(EngineError, match="no memory") as caught:
        clickseg.segment(study, model=model)
    error = caught.value.with_traceback(None)
    del caught
    gc.collect()

    assert isinstance(error.__cause__, ValueError)
    assert [volume() for volume in volumes] == [None]


def test_a_class_that_the_model_does_not_have_is_refused(study: Path, model: clickseg.Model) -> None:
    result = clickseg.segment(study, model=model)[0]

    with pytest.raises(UsageError, match="no class 'liver': expected one of hook"):
        result.mask("liver")


def test_variables_of_the_command_do_not_count(
    study: Path, model: clickseg.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKSEG_CLICKS", "none")
    monkeypatch.setenv("CLICKSEG_DEVICE", "tpu")
    monkeypatch.setenv("CLICKSEG_MODELS", "nowhere")

    assert clickseg.segment(study, model=model)[0].clicks == (INSIDE,)
    assert clickseg.load_model("pet_lesion").name == "pet_lesion"


def test_calls_in_several_threads_give_the_same_bytes(study: Path, model: clickseg.Model) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: clickseg.segment(study, model=model)[0], range(3)))

    assert len({saved(result.seg) for result in results}) == 1


# read_series


def test_a_series_is_read_with_its_values_in_place(study: Path) -> None:
    series = clickseg.read_series(str(study))

    assert (series.unit, series.volume.frame_of_reference_uid) == ("HU", str(phantoms.header("CT").FrameOfReferenceUID))
    np.testing.assert_array_equal(series.volume.array, phantoms.hook(runs.GEOMETRY, 500, -700).array)
    np.testing.assert_allclose(series.volume.affine, runs.GEOMETRY.affine, atol=1e-6)


def test_of_several_series_one_is_named_by_its_uid(tmp_path: Path) -> None:
    uids = [str(phantoms.header("CT", name).SeriesInstanceUID) for name in ("one", "other")]
    for name in ("one", "other"):
        runs.write_input(tmp_path / name, name=name)

    with pytest.raises(InputError, match=r"expected one series, got 2: CT .* in one/CT, CT .* in other/CT") as raised:
        clickseg.read_series(tmp_path)

    assert clickseg.read_series(tmp_path, uids[1]).candidate.series_uid == uids[1]
    assert raised.value.hint == f"pass the UID of one: {uids[0]} (CT, Phantom CT); {uids[1]} (CT, Phantom CT)"
    with pytest.raises(InputError, match=r"no series 1\.2\.3 in the input"):
        clickseg.read_series(tmp_path, "1.2.3")


def test_a_series_that_is_no_volume_is_refused_and_one_beside_it_is_read(
    tmp_path: Path, logs: pytest.LogCaptureFixture
) -> None:
    gap = runs.write_input(tmp_path, name="gap") / "CT"
    sorted(gap.iterdir())[5].unlink()

    with pytest.raises(SeriesError):
        clickseg.read_series(tmp_path)

    runs.write_input(tmp_path / "more", name="whole")
    assert clickseg.read_series(tmp_path).candidate.folder == "more/CT"
    assert f"ignored: CT {phantoms.header('CT', 'gap').SeriesInstanceUID} in CT" in logs.text


def test_of_a_series_with_several_volumes_one_file_is_named(tmp_path: Path) -> None:
    images = phantoms.instances(phantoms.hook(runs.GEOMETRY, 500, -700))
    for name, sop_uid in (("a", "2.25.78"), ("b", "2.25.79")):
        phantoms.legacy_enhanced(tmp_path / name, images)
        phantoms.change(tmp_path / name, lambda image, uid=sop_uid: setattr(image, "SOPInstanceUID", uid))

    with pytest.raises(InputError, match="expected one series, got 2") as raised:
        clickseg.read_series(tmp_path, "2.25.77")

    assert raised.value.hint == (
        "the series holds several volumes: name the file of one: a/enhanced.dcm, b/enhanced.dcm"
    )
    assert clickseg.read_series(tmp_path / "b" / "enhanced.dcm").volume.spatial_shape == runs.GEOMETRY.spatial_shape


# load_model


def test_a_model_is_loaded_by_name_or_by_path(models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert clickseg.load_model("pet_lesion").path == REPOSITORY / "models" / "pet_lesion"

    monkeypatch.chdir(models)
    assert [clickseg.load_model(name).name for name in ("thresholder", "./thresholder", str(models), models)] == [
        "thresholder"
    ] * 4


def test_what_is_no_model_or_several_is_refused(tmp_path: Path) -> None:
    runs.write_model(tmp_path, "first")
    runs.write_model(tmp_path, "second")

    with pytest.raises(ModelError, match="expected one model package, got 2: first, second"):
        clickseg.load_model(tmp_path)
    with pytest.raises(ModelError, match=r"no model package at .*nowhere"):
        clickseg.load_model(tmp_path / "nowhere")


# Session


def test_a_session_is_opened_with_what_the_functions_return(tmp_path: Path, study: Path, models: Path) -> None:
    series, model = clickseg.read_series(study), clickseg.load_model(models / "thresholder")

    with clickseg.Session(series, model, folder=str(tmp_path / "session"), device="cpu") as session:
        session.add_click(INSIDE)
        session.wait()
        found = session.labels.mask(1)

    np.testing.assert_array_equal(found, runs.expected(INSIDE))
    assert (tmp_path / "session" / "session.json").is_file()


# README and docs


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = phantoms.hook(runs.GEOMETRY, 8, 1)
    phantoms.write(tmp_path / "DIR", volume.with_array(becquerel_per_ml(volume.array)), "PT")
    lesion = {"guidance": phantoms.GUIDANCE | {"channels": [{"takes": [["lesion", each]]} for each in Polarity]}}
    inputs = [{"name": "pet", "modality": "PT", "unit": "SUVbw", "scaling": phantoms.SUV_RANGE}]
    runs.write_model(tmp_path / "models", "pet_lesion", inputs=inputs, classes=[phantoms.organ("lesion", 1)], **lesion)
    write_clicks_json(Clicks((runs.click(9, 11, 13, label="lesion"),)), tmp_path / "clicks.json")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text(), flags=re.DOTALL)
    names: dict[str, object] = {}

    for example in examples:
        exec(example, names)  # noqa: S102 - our own

    expected = runs.expected(runs.click(9, 11, 13))
    np.testing.assert_array_equal(names["results"][0].mask("lesion"), expected)
    assert len(list((tmp_path / "OUT").glob("*.dcm"))) == 2
    if page == "README.md":
        assert [example.count("\n") for example in examples] == [4]
    else:
        np.testing.assert_array_equal(names["mask"], expected)
        inside_mm = runs.GEOMETRY.map_indices_to_reference(np.argwhere(expected))
        np.testing.assert_allclose(names["inside_mm"], inside_mm, atol=1e-4)
        assert (tmp_path / "result.dcm").is_file()
