"""Runs nnU-Net's predictor on an array, again for each line of the standard input.

    python nnunet_predictor.py REQUEST

The benchmark starts it with the Python of an environment with nnU-Net, which does not have ClickSeg. A line is a JSON
object with ``mirroring``; the answer has ``s``, the time of the prediction, ``cpu_s``, the time of all cores, and
``peak_bytes``, the peak memory of the process in this time.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

_VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
"""Folders that nnU-Net asks for, but does not use here."""


def main() -> None:
    """Loads the model and the image that the first argument names, and predicts labels for each line."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    os.environ.update(dict.fromkeys(_VARIABLES, request["folder"]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nnU-Net prints
    predictor, image = _load_predictor(request), np.load(request["image"])
    for line in sys.stdin:
        predictor.use_mirroring = json.loads(line)["mirroring"]
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present value
        start, cpu_start = perf_counter(), process_time()
        labels = predictor.predict_single_npy_array(image, {"spacing": request["spacing_mm"]})
        answer = {"s": perf_counter() - start, "cpu_s": process_time() - cpu_start, "peak_bytes": _peak_bytes()}
        np.save(request["labels"], labels)
        print(json.dumps(answer), file=answers, flush=True)


def _load_predictor(request: dict[str, Any]) -> Any:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as nnU-Net's command with -device cpu
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(request["model"], None)
    return predictor


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
