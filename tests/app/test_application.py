"""The MONAI Deploy application: every door gives the same bytes, and a failure is a failure."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from app.main import Process
from clickseg.batch.writer import RunSummary
from tests.helpers import phantoms, runs
from tests.helpers.runs import REPOSITORY, process

BIN = Path(sys.executable).parent
FAR = runs.click(9, 11, 13)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return runs.write_input(tmp_path / "in", FAR)


DOORS = {
    "segment": ([BIN / "clickseg", "segment", "IN"], "."),
    "python PATH/app": (["python", REPOSITORY / "app", "-i", "IN"], "."),
    "python -m app": (["python", "-m", "app", "-i", "IN"], REPOSITORY),
    "exec": ([BIN / "clickseg", "exec", "-i", "IN"], REPOSITORY),
    "exec PATH": ([BIN / "clickseg", "exec", REPOSITORY / "app", "-i", "IN"], "."),
    "monai-deploy exec": ([BIN / "monai-deploy", "exec", REPOSITORY / "app", "-i", "IN"], "."),
}


@pytest.mark.slow
def test_all_doors_give_the_same_bytes(tmp_path: Path, study: Path, models: Path) -> None:
    for name, (words, folder) in DOORS.items():
        command = [study if word == "IN" else word for word in words]
        ended = process([*command, "-o", tmp_path / name, "-m", models], tmp_path / folder)
        assert ended.returncode == 0, (name, ended.stderr)
        assert runs.written(tmp_path / name) == runs.written(tmp_path / "segment"), name


@pytest.mark.slow
def test_the_environment_sets_what_the_command_line_does_not(tmp_path: Path, study: Path, models: Path) -> None:
    environ = {
        "HOLOSCAN_INPUT_PATH": str(study),
        "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "out"),
        "HOLOSCAN_MODEL_PATH": str(models),
        "CLICKSEG_CLICKS": "none",
        "CLICKSEG_STATISTICS": "1",
    }

    ended = process(["python", REPOSITORY / "app"], tmp_path, **environ)
    other = process(["python", REPOSITORY / "app", "-o", tmp_path / "other"], tmp_path, **environ)

    assert (ended.returncode, other.returncode) == (0, 0), ended.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["series"][0]["clicks"]["source"] is None
    assert "statistics" in report["series"][0]["segments"][0]
    assert runs.written(tmp_path / "out") == runs.written(tmp_path / "other")


@pytest.mark.slow
def test_holoscan_is_silent_unless_it_is_asked(tmp_path: Path, study: Path, models: Path) -> None:
    command = ["python", REPOSITORY / "app", "-i", study, "-m", models, "-o"]

    quiet = process([*command, tmp_path / "quiet"])
    loud = process([*command, tmp_path / "loud"], HOLOSCAN_LOG_LEVEL="INFO")

    assert quiet.stderr == "CT series in CT: model thresholder, 1 click of clicks.json (1 foreground)\n"
    assert "segmentation_writer" not in quiet.stderr
    assert "[info]" in loud.stderr + loud.stdout


@pytest.mark.slow
@pytest.mark.parametrize("level", [["-l", "ERROR"], ["-lERROR"], ["--log-level=ERROR"]])
def test_a_log_level_is_understood_however_it_is_written(
    tmp_path: Path, study: Path, models: Path, level: list[str]
) -> None:
    ended = process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out", *level])

    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_result_is_told_on_standard_output(tmp_path: Path, study: Path, models: Path) -> None:
    ended = process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert {line.split()[0] for line in ended.stdout.splitlines()} == {"hook", "preview", "seg", "sr", "report"}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--clicks", "x"], ["-i", "nowhere"], ["-l", "LOUD"]])
def test_wrong_use_is_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    assert process(["python", REPOSITORY / "app", "-o", tmp_path / "out", *arguments], tmp_path).returncode == 2


@pytest.mark.slow
def test_an_input_that_cannot_be_used_is_one_error_line(tmp_path: Path, study: Path, models: Path) -> None:
    sorted((study / "CT").iterdir())[4].unlink()

    ended = process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert ended.returncode == 1
    assert runs.error_lines(ended.stderr)[0].startswith("error: 1 missing slice in 1 place")
    assert len(runs.error_lines(ended.stderr)) == 2
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_an_operator_that_fails_is_one_error_line_and_no_result(tmp_path: Path, study: Path, models: Path) -> None:
    (models / "thresholder" / "models" / "model.bin").write_bytes(b"other weights")

    ended = process(
        ["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"], CLICKSEG_METADATA="1"
    )

    assert ended.returncode == 1
    (line,) = runs.error_lines(ended.stderr)
    assert line.startswith("error: model thresholder: model.bin: expected SHA-256")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata.json"]


BROKEN = """
import sys
sys.path.insert(0, {repository!r})
import clickseg.batch.steps, clickseg.batch.writer
def broken(*_):
    raise ZeroDivisionError("in the middle")
{place} = broken
from app.main import main
raise SystemExit(main(["app", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["clickseg.batch.steps.prepare", "clickseg.batch.writer.ResultWriter.write"])
def test_a_bug_in_an_operator_is_one_error_line_and_no_result(
    tmp_path: Path, study: Path, models: Path, place: str
) -> None:
    code = BROKEN.format(repository=str(REPOSITORY), place=place)

    ended = process(["python", "-c", code, "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert ended.returncode == 1
    (line, hint) = runs.error_lines(ended.stderr)
    assert line == "error: a bug in ClickSeg: ZeroDivisionError"
    assert hint.startswith("hint: ")
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_one_failed_series_does_not_take_the_others_along(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", name="good")
    bad = runs.write_input(tmp_path / "in" / "bad", name="bad") / "CT"
    phantoms.change(bad, lambda dataset: dataset.__delattr__("RescaleSlope"))

    ended = process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert ended.returncode == 1
    assert "RescaleSlope" in runs.error_lines(ended.stderr)[0]
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 2


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path: Path, study: Path, models: Path) -> None:
    (tmp_path / "file").touch()
    command = ["python", REPOSITORY / "app", "-i", study, "-m", models]

    by_argument = process([*command, "-o", tmp_path / "file" / "out"])
    by_environment = process(command, HOLOSCAN_OUTPUT_PATH=str(tmp_path / "file" / "out"))

    for ended in (by_argument, by_environment):
        assert ended.returncode == 1
        assert "cannot be written to: Not a directory" in runs.error_lines(ended.stderr)[0]


def test_exec_passes_exit_codes_and_signals_through(tmp_path: Path) -> None:
    (tmp_path / "seven.py").write_text("raise SystemExit(7)")
    (tmp_path / "killed.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "app.py").write_text("import sys; print(sys.argv[1:])")

    assert runs.command("exec", tmp_path / "seven.py").returncode == 7
    assert runs.command("exec", tmp_path / "killed.py").returncode == -15
    told = runs.command("exec", tmp_path / "old", "-i", "a", "-o", "b", "-m", "c", "-w", "d", "-l", "debug")
    assert told.stdout == "['-i', 'a', '-o', 'b', '-m', 'c', '-w', 'd', '-l', 'DEBUG']\n"


OLD_STYLE = """
from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, Operator

class Failing(Operator):
    def __init__(self, fragment, *args, **kwargs):
        super().__init__(fragment, CountCondition(fragment, 1), *args, **kwargs)
    def setup(self, spec):
        pass
    def compute(self, op_input, op_output, context):
        raise ValueError("no such organ")

class App(Application):
    def compose(self):
        self.add_operator(Failing(self, name="organ_finder"))

if __name__ == "__main__":
    App().run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("style", ["file", "folder with app.py", "folder with __main__.py"])
def test_exec_says_which_operator_of_an_application_failed(tmp_path: Path, style: str) -> None:
    folder = tmp_path / "application"
    (folder / "in").mkdir(parents=True)
    path = folder / ("__main__.py" if "main" in style else "app.py")
    path.write_text(OLD_STYLE)
    (folder / "neighbour.py").write_text("")
    path.write_text("import neighbour\n" + OLD_STYLE)
    named = path if style == "file" else folder

    ended = runs.command("exec", named, "-i", folder / "in", "-o", tmp_path / "out", HOLOSCAN_LOG_LEVEL="OFF")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: operator organ_finder failed: ValueError: no such organ"


@pytest.mark.slow
@pytest.mark.parametrize(("code", "expected"), [("0", 1), ("7", 7), ("", 1)])
def test_an_operator_that_ends_the_process_has_failed(tmp_path: Path, code: str, expected: int) -> None:
    path = tmp_path / "app.py"
    path.write_text(OLD_STYLE.replace('ValueError("no such organ")', f"SystemExit({code})"))
    (tmp_path / "in").mkdir()

    ended = runs.command("exec", path, "-i", tmp_path / "in", "-o", tmp_path / "out", HOLOSCAN_LOG_LEVEL="OFF")

    assert ended.returncode == expected
    assert ended.stderr.splitlines()[-1].startswith("error: operator organ_finder failed: it ended the process")


def test_exec_without_an_application_is_wrong_use(tmp_path: Path) -> None:
    ended = runs.command("exec", "-i", "a", cwd=tmp_path)

    assert ended.returncode == 2
    assert runs.error_lines(ended.stderr)[0].startswith("error: no application at app")


def test_monai_deploy_leaves_the_rest_to_holoscan_cli() -> None:
    ended = process([BIN / "monai-deploy", "version"])

    assert ended.returncode == 0
    assert "4.2.0" in ended.stdout + ended.stderr


class Published:
    """An application whose results are in the output folder."""

    def __init__(self, output: Path) -> None:
        self.output, self.writer = output, self
        self.summary = RunSummary(("hook 0.3 ml",), (), {"clickseg": "0.1.0", "status": "success"}, is_published=True)

    def __exit__(self, *_: object) -> None:
        pass


def test_a_signal_that_comes_when_the_results_are_there_makes_them_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLICKSEG_METADATA", "1")
    process = Process()
    process._application = Published(tmp_path)

    code = process.interrupt()

    assert code == 0
    assert json.loads((tmp_path / "metadata.json").read_text())["status"] == "success"
    assert capsys.readouterr().out == "hook 0.3 ml\n"
