"""The MONAI Deploy application: all entry points write the same bytes, and failures are reported."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from app.main import ApplicationProcess
from clickseg.batch.writer import RunSummary
from tests.helpers import phantoms, runs
from tests.helpers.runs import REPOSITORY, run_process

BIN = Path(sys.executable).parent
DISTANT_CLICK = runs.click(9, 11, 13)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return runs.write_model(tmp_path / "models")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return runs.write_input(tmp_path / "in", DISTANT_CLICK)


ENTRY_POINTS = {
    "segment": ([BIN / "clickseg", "segment", "IN"], "."),
    "python PATH/app": (["python", REPOSITORY / "app", "-i", "IN"], "."),
    "python -m app": (["python", "-m", "app", "-i", "IN"], REPOSITORY),
    "exec": ([BIN / "clickseg", "exec", "-i", "IN"], REPOSITORY),
    "exec PATH": ([BIN / "clickseg", "exec", REPOSITORY / "app", "-i", "IN"], "."),
    "monai-deploy exec": ([BIN / "monai-deploy", "exec", REPOSITORY / "app", "-i", "IN"], "."),
}


@pytest.mark.slow
def test_all_entry_points_write_the_same_bytes(tmp_path: Path, study: Path, models: Path) -> None:
    for name, (arguments, folder) in ENTRY_POINTS.items():
        command = [study if argument == "IN" else argument for argument in arguments]
        ended = run_process([*command, "-o", tmp_path / name, "-m", models], tmp_path / folder)
        assert ended.returncode == 0, (name, ended.stderr)
        assert runs.read_result_files(tmp_path / name) == runs.read_result_files(tmp_path / "segment"), name


@pytest.mark.slow
def test_environment_variables_set_what_the_command_line_does_not_set(
    tmp_path: Path, study: Path, models: Path
) -> None:
    environ = {
        "HOLOSCAN_INPUT_PATH": str(study),
        "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "out"),
        "HOLOSCAN_MODEL_PATH": str(models),
        "CLICKSEG_CLICKS": "none",
        "CLICKSEG_STATISTICS": "1",
    }

    ended = run_process(["python", REPOSITORY / "app"], tmp_path, **environ)
    with_option = run_process(["python", REPOSITORY / "app", "-o", tmp_path / "other"], tmp_path, **environ)

    assert (ended.returncode, with_option.returncode) == (0, 0), ended.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["series"][0]["clicks"]["source"] is None
    assert "statistics" in report["series"][0]["segments"][0]
    assert runs.read_result_files(tmp_path / "out") == runs.read_result_files(tmp_path / "other")


@pytest.mark.slow
def test_holoscan_is_silent_unless_a_log_level_is_requested(tmp_path: Path, study: Path, models: Path) -> None:
    command = ["python", REPOSITORY / "app", "-i", study, "-m", models, "-o"]

    quiet = run_process([*command, tmp_path / "quiet"])
    loud = run_process([*command, tmp_path / "loud"], HOLOSCAN_LOG_LEVEL="INFO")

    assert quiet.stderr == "CT series in CT: model thresholder, 1 click of clicks.json (1 foreground)\n"
    assert "segmentation_writer" not in quiet.stderr
    assert "[info]" in loud.stderr + loud.stdout


@pytest.mark.slow
@pytest.mark.parametrize("level", [["-l", "ERROR"], ["-lERROR"], ["--log-level=ERROR"]])
def test_all_spellings_of_a_log_level_are_understood(
    tmp_path: Path, study: Path, models: Path, level: list[str]
) -> None:
    ended = run_process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out", *level])

    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_results_are_listed_on_standard_output(tmp_path: Path, study: Path, models: Path) -> None:
    ended = run_process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert {line.split()[0] for line in ended.stdout.splitlines()} == {"hook", "preview", "seg", "sr", "report"}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--clicks", "x"], ["-i", "nowhere"], ["-l", "LOUD"]])
def test_wrong_usage_gives_exit_code_2(tmp_path: Path, arguments: list[str]) -> None:
    assert run_process(["python", REPOSITORY / "app", "-o", tmp_path / "out", *arguments], tmp_path).returncode == 2


@pytest.mark.slow
def test_an_unusable_input_is_reported_in_one_error_line(tmp_path: Path, study: Path, models: Path) -> None:
    sorted((study / "CT").iterdir())[4].unlink()

    ended = run_process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert ended.returncode == 1
    assert runs.error_lines(ended.stderr)[0].startswith("error: 1 missing slice in 1 place")
    assert len(runs.error_lines(ended.stderr)) == 2
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_a_failing_operator_gives_one_error_line_and_no_result(tmp_path: Path, study: Path, models: Path) -> None:
    (models / "thresholder" / "models" / "model.bin").write_bytes(b"other weights")

    ended = run_process(
        ["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"], CLICKSEG_METADATA="1"
    )

    assert ended.returncode == 1
    (line,) = runs.error_lines(ended.stderr)
    assert line.startswith("error: model thresholder: model.bin: expected SHA-256")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["metadata.json"]


RUN_WITH_BUG = """
import sys
sys.path.insert(0, {repository!r})
import clickseg.batch.steps, clickseg.batch.writer
def fail(*_):
    raise ZeroDivisionError("a bug")
{function} = fail
from app.main import main
raise SystemExit(main(["app", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("function", ["clickseg.batch.steps.preprocess", "clickseg.batch.writer.ResultWriter.write"])
def test_a_bug_in_an_operator_gives_one_error_line_and_no_result(
    tmp_path: Path, study: Path, models: Path, function: str
) -> None:
    code = RUN_WITH_BUG.format(repository=str(REPOSITORY), function=function)

    ended = run_process(["python", "-c", code, "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert ended.returncode == 1
    line, hint = runs.error_lines(ended.stderr)
    assert line == "error: a bug in ClickSeg: ZeroDivisionError"
    assert hint.startswith("hint: ")
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_a_failed_series_does_not_prevent_results_of_other_series(tmp_path: Path, models: Path) -> None:
    study = runs.write_input(tmp_path / "in", name="good")
    bad = runs.write_input(tmp_path / "in" / "bad", name="bad") / "CT"
    phantoms.change(bad, lambda dataset: dataset.__delattr__("RescaleSlope"))

    ended = run_process(["python", REPOSITORY / "app", "-i", study, "-m", models, "-o", tmp_path / "out"])

    assert ended.returncode == 1
    assert "RescaleSlope" in runs.error_lines(ended.stderr)[0]
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 2


@pytest.mark.slow
def test_an_output_folder_that_is_not_writable_is_an_error(tmp_path: Path, study: Path, models: Path) -> None:
    (tmp_path / "file").touch()
    command = ["python", REPOSITORY / "app", "-i", study, "-m", models]

    by_argument = run_process([*command, "-o", tmp_path / "file" / "out"])
    by_environment = run_process(command, HOLOSCAN_OUTPUT_PATH=str(tmp_path / "file" / "out"))

    for ended in (by_argument, by_environment):
        assert ended.returncode == 1
        assert "cannot be written to: Not a directory" in runs.error_lines(ended.stderr)[0]


def test_exec_returns_the_exit_code_or_the_signal_of_the_application(tmp_path: Path) -> None:
    (tmp_path / "seven.py").write_text("raise SystemExit(7)")
    (tmp_path / "killed.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "app.py").write_text("import sys; print(sys.argv[1:])")

    assert runs.run_clickseg_process("exec", tmp_path / "seven.py").returncode == 7
    assert runs.run_clickseg_process("exec", tmp_path / "killed.py").returncode == -15
    ended = runs.run_clickseg_process(
        "exec", tmp_path / "old", "-i", "a", "-o", "b", "-m", "c", "-w", "d", "-l", "debug"
    )
    assert ended.stdout == "['-i', 'a', '-o', 'b', '-m', 'c', '-w', 'd', '-l', 'DEBUG']\n"


SDK_APPLICATION = """
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
def test_exec_names_the_operator_of_an_application_that_failed(tmp_path: Path, style: str) -> None:
    folder = tmp_path / "application"
    (folder / "in").mkdir(parents=True)
    path = folder / ("__main__.py" if "main" in style else "app.py")
    path.write_text(SDK_APPLICATION)
    (folder / "neighbour.py").write_text("")
    path.write_text("import neighbour\n" + SDK_APPLICATION)
    application = path if style == "file" else folder

    ended = runs.run_clickseg_process(
        "exec", application, "-i", folder / "in", "-o", tmp_path / "out", HOLOSCAN_LOG_LEVEL="OFF"
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: operator organ_finder failed: ValueError: no such organ"


@pytest.mark.slow
@pytest.mark.parametrize(("code", "expected"), [("0", 1), ("7", 7), ("", 1)])
def test_an_operator_that_exits_the_process_is_reported_as_failed(tmp_path: Path, code: str, expected: int) -> None:
    path = tmp_path / "app.py"
    path.write_text(SDK_APPLICATION.replace('ValueError("no such organ")', f"SystemExit({code})"))
    (tmp_path / "in").mkdir()

    ended = runs.run_clickseg_process(
        "exec", path, "-i", tmp_path / "in", "-o", tmp_path / "out", HOLOSCAN_LOG_LEVEL="OFF"
    )

    assert ended.returncode == expected
    assert ended.stderr.splitlines()[-1].startswith("error: operator organ_finder failed: it ended the process")


def test_exec_without_an_application_is_wrong_usage(tmp_path: Path) -> None:
    ended = runs.run_clickseg_process("exec", "-i", "a", cwd=tmp_path)

    assert ended.returncode == 2
    assert runs.error_lines(ended.stderr)[0].startswith("error: app: expected an application")


def test_monai_deploy_passes_other_commands_to_holoscan_cli() -> None:
    ended = run_process([BIN / "monai-deploy", "version"])

    assert ended.returncode == 0
    assert "4.2.0" in ended.stdout + ended.stderr


class FinishedApplication:
    """An application that has published its results in the output folder."""

    def __init__(self, output: Path) -> None:
        self.output, self.writer = output, self
        self.summary = RunSummary(("hook 0.3 ml",), (), {"clickseg": "0.1.0", "status": "success"}, is_published=True)

    def __exit__(self, *_: object) -> None:
        pass


def test_a_signal_after_the_results_are_published_is_not_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLICKSEG_METADATA", "1")
    application_process = ApplicationProcess()
    application_process._application = FinishedApplication(tmp_path)

    code = application_process.clean_up()

    assert code == 0
    assert json.loads((tmp_path / "metadata.json").read_text())["status"] == "success"
    assert capsys.readouterr().out == "hook 0.3 ml\n"
