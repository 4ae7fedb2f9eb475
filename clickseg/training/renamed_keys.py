"""Training configurations of older versions: an old key gives an error that names the new key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clickseg.core.errors import InputError

RENAMED_KEYS = {
    "truth": "truth_names",
    "patch": "patch_size",
    "batch": "batch_size",
    "steps": "steps_per_epoch",
    "positive": "foreground_probability",
    "initial": "initial_weights",
    "workers": "num_workers",
    "clicking.most": "clicking.max_rounds",
    "clicking.learn": "clicking.backprop",
    "clicking.strategies.error": "clicking.strategies.largest_error",
    "clicking.strategies.patch": "clicking.strategies.patch_based",
    "clicking.strategies.any": "clicking.strategies.non_corrective",
    "clicking.choices": "clicking.voxel_sampling",
    "clicking.patch": "clicking.patch_size",
    "clicking.outside": "clicking.outside_probability",
    "synthesis.share": "synthesis.probability",
    "synthesis.looks": "synthesis.appearances",
    "synthesis.automatic": "synthesis.unprompted",
    "synthesis.surroundings": "synthesis.padding_probability",
    "synthesis.distractors": "synthesis.distractor_probability",
    "augmentation.affine_share": "augmentation.affine_probability",
    "augmentation.scaling": "augmentation.scale_range",
    "augmentation.flip_share": "augmentation.flip_probability",
    "augmentation.intensity_share": "augmentation.intensity_probability",
    "augmentation.intensity": "augmentation.intensity_factor",
    "augmentation.contrast_share": "augmentation.contrast_probability",
    "augmentation.contrast": "augmentation.contrast_gamma",
    "augmentation.noise_share": "augmentation.noise_probability",
    "augmentation.noise": "augmentation.noise_std",
    "augmentation.blur_share": "augmentation.blur_probability",
    "augmentation.low_resolution_share": "augmentation.low_resolution_probability",
    "loss.of": "loss.target",
    "optimization.accumulate": "optimization.accumulation_steps",
    "optimization.average": "optimization.ema_decay",
    "optimization.fix_statistics_after": "optimization.freeze_batch_norm_after_epochs",
}
"""The old path of each renamed key, and its new path."""


def check_renamed_keys(content: Mapping[str, Any], source: str, hint: str | None = None) -> None:
    """Rejects a configuration with keys of an older version.

    Args:
        content: The configuration, or a part of it, as nested mappings from its root.
        source: The file or the option that contains it, for the message.
        hint: The hint of the error; by default it lists further renamed keys of the configuration.

    Raises:
        InputError: A key was renamed.
    """
    renamed = [(old, RENAMED_KEYS[old]) for old in _paths(content) if old in RENAMED_KEYS]
    if renamed:
        (old, new), *others = renamed
        listed = ", ".join(f"{path} to {new_path}" for path, new_path in others)
        also_renamed = f"also renamed: {listed}" if others else None
        raise InputError(f"{source}: {old} was renamed to {new}", hint=hint or also_renamed)


def _paths(content: Mapping[str, Any], parent: str = "") -> Iterator[str]:
    for key, value in content.items():
        path = f"{parent}{key}"
        yield path
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}.")
