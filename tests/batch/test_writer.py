"""The report of a run on files whose names are not UTF-8 is valid JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.helpers.runs import click, run_clickseg, write_input, write_model


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only Unicode file names")
def test_a_report_with_names_that_are_not_utf_8_is_valid_json(tmp_path: Path) -> None:
    study = write_input(tmp_path / "in", click(2, 2, 2))
    (study / "CT").rename(study / os.fsdecode(b"M\xfcller"))
    (study / "clicks.json").rename(study / os.fsdecode(b"L\xe4sion.json"))
    models = write_model(tmp_path / "models")

    result = run_clickseg("segment", study, "-o", tmp_path / "out", "-m", models, CLICKSEG_METADATA="1")
    inspected = run_clickseg("inspect", study, "--json")

    assert (result.returncode, inspected.returncode) == (0, 0)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["series"][0]["folder"] == "M\\xfcller"
    assert report["series"][0]["clicks"]["source"] == "L\\xe4sion.json"
    assert json.loads(inspected.stdout)["series"][0]["folder"] == "M\\xfcller"
    for text in (json.dumps(report, ensure_ascii=False), inspected.stdout):
        text.encode("utf-8")
