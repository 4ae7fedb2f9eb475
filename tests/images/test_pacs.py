"""The round trips through a PACS of tests/deploy, with a container of the image ``cpu`` for the application."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.test_pacs import (
    Application,
    test_results_are_found_in_the_study_that_they_are_of,
    test_the_clicks_of_a_report_in_the_pacs_repeat_the_run,
    test_the_pacs_gives_back_what_was_written,
    test_the_pacs_knows_one_study_of_one_patient_with_all_modalities,
)
from tests.helpers import runs
from tests.helpers.containers import command, docker
from tests.images.conftest import open_to_all

__all__ = [
    "test_results_are_found_in_the_study_that_they_are_of",
    "test_the_clicks_of_a_report_in_the_pacs_repeat_the_run",
    "test_the_pacs_gives_back_what_was_written",
    "test_the_pacs_knows_one_study_of_one_patient_with_all_modalities",
]


@pytest.fixture
def application(cpu_image: str, tmp_path: Path) -> Application:
    models = runs.write_model(tmp_path / "models")
    open_to_all(tmp_path)

    def run(study: Path, output: Path) -> int:
        output.mkdir()
        output.chmod(0o777)
        return docker(*command(cpu_image, study, output, "-v", f"{models}:/opt/holoscan/models:ro")).returncode

    return run
