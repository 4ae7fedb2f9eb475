"""nnU-Net in an environment of its own: its command, and a process that keeps its predictor in memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import SimpleITK

from clickseg.core.arrays import Float32Array, LabelArray
from clickseg.core.errors import LibraryError

PYTHON = "CLICKSEG_NNUNET_PYTHON"
"""The environment variable that names the Python of an environment with nnU-Net."""

_COMMAND = "nnUNetv2_predict_from_modelfolder"
_PREDICTOR = Path(__file__).with_name("nnunet_predictor.py")
_VERSION = "from importlib.metadata import version; print(version('nnunetv2'))"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Labels of nnU-Net, and what they cost.

    Attributes:
        labels: The labels [K, J, I].
        seconds: The time from the array to the labels.
        cpu_seconds: The time of all cores.
        peak_bytes: The peak memory of the process in this time.
    """

    labels: LabelArray
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def nnunet_python(environ: Mapping[str, str]) -> str:
    """Returns the Python of an environment with nnU-Net: the one that is named, or this one.

    Raises:
        LibraryError: nnU-Net is not installed in it.
    """
    named = environ.get(PYTHON)
    if not named and importlib.util.find_spec("nnunetv2") is None:
        hint = f"pip install nnunetv2 in an environment of its own, and name its Python with {PYTHON}"
        raise LibraryError("nnU-Net is not installed", hint=hint)
    python = named or sys.executable
    nnunet_version(python)
    return python


def nnunet_version(python: str) -> str:
    """Returns the version of nnU-Net in an environment.

    Raises:
        LibraryError: nnU-Net is not installed in it, or it is not an environment.
    """
    try:
        ended = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=False)
    except OSError as error:
        raise LibraryError(f"{PYTHON}: {python}: {error.strerror}: expected a Python with nnU-Net") from error
    if ended.returncode:
        raise LibraryError(f"{python}: nnU-Net is not installed", hint=f"{python} -m pip install nnunetv2")
    return ended.stdout.strip()


def predict_files(python: str, model: Path, images: Path, output: Path) -> LabelArray:
    """Returns the labels [K, J, I] that nnU-Net's command writes for the only case of a folder, with all folds.

    Args:
        python: The Python of an environment with nnU-Net.
        model: The folder of the model.
        images: The folder with ``case_0000.mha``, ``case_0001.mha`` ..
        output: The folder that is written.

    Raises:
        RuntimeError: The command fails.
    """
    folds = sorted(path.name.removeprefix("fold_") for path in model.glob("fold_*"))
    command = [python, Path(python).with_name(_COMMAND), "-i", images, "-o", output, "-m", model, "-f", *folds]
    options = ["-device", "cpu", "-npp", "1", "-nps", "1"]
    environ = {**os.environ, "nnUNet_raw": "", "nnUNet_preprocessed": "", "nnUNet_results": ""}
    ended = subprocess.run([*map(str, command), *options], env=environ, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{_COMMAND}: {ended.stderr.strip().splitlines()[-1]}")
    labels: LabelArray = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(output / "case.mha")))
    return labels


class NnunetProcess:
    """A process that keeps nnU-Net's predictor, with all folds of a model, and an image in memory."""

    def __init__(self, python: str, model: Path, images: Sequence[Float32Array], spacing_mm: Sequence[float]) -> None:
        """Starts the process.

        Args:
            python: The Python of an environment with nnU-Net.
            model: The folder of the model; arrays and labels are written next to it.
            images: The images, each [K, J, I].
            spacing_mm: Their spacing along these axes.
        """
        self._labels = model.with_name(f"{model.name}_labels.npy")
        self._log = model.with_name(f"{model.name}.log")
        image = model.with_name(f"{model.name}_image.npy")
        np.save(image, np.stack(images).astype(np.float32))
        request = {
            "folder": str(model.parent),
            "model": str(model),
            "image": str(image),
            "spacing_mm": list(spacing_mm),
            "labels": str(self._labels),
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, str(_PREDICTOR), json.dumps(request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def predict(self, *, mirroring: bool) -> Prediction:
        """Returns the labels of the image.

        Raises:
            RuntimeError: The process has ended.
        """
        requests, answers = self._process.stdin, self._process.stdout
        line = ""
        if requests and answers:  # both are pipes
            requests.write(json.dumps({"mirroring": mirroring}) + "\n")
            requests.flush()
            line = answers.readline()
        if not line:
            raise RuntimeError(f"nnU-Net: {self._log.read_text().strip().splitlines()[-1]}")
        answer = json.loads(line)
        return Prediction(np.load(self._labels), answer["s"], answer["cpu_s"], answer["peak_bytes"])

    def __enter__(self) -> NnunetProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the process."""
        self._process.communicate()
