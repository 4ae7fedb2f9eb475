"""Networks of the benchmarks."""

from __future__ import annotations

from typing import Any

SW_FASTEDIT: dict[str, Any] = {
    "spatial_dims": 3,
    "in_channels": 3,
    "out_channels": 2,
    "kernel_size": [3, 3, 3, 3, 3, 3],
    "strides": [1, 2, 2, 2, 2, [2, 2, 1]],
    "upsample_kernel_size": [2, 2, 2, 2, [2, 2, 1]],
    "norm_name": "instance",
    "deep_supervision": False,
    "res_block": True,
}
"""The arguments of MONAI's ``DynUNet`` for the network of SW-FastEdit."""
