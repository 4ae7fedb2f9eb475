"""Translates the network of plans to ``network_def``; names of classes are looked up in tables, never imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from clickseg.core.errors import ModelError
from clickseg.core.text import join_names
from clickseg.core.validation import validate_record
from clickseg.models.importers.nnunet.plans import Architecture, Plans, Record

PLAIN, RESIDUAL = "PlainConvUNet", "ResidualEncoderUNet"

_PACKAGE = "dynamic_network_architectures."
_NEUTRAL = ("conv_op", "deep_supervision", "dropout_op", "dropout_op_kwargs")
"""Arguments that do not change what is computed after training; the convolution is checked."""

_COMMON = (
    *("n_stages", "features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage_decoder", "conv_bias"),
    *("norm_op", "norm_op_kwargs", "nonlin", "nonlin_kwargs"),
)
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    PLAIN: (*_COMMON, "n_conv_per_stage", "nonlin_first"),
    RESIDUAL: (*_COMMON, "n_blocks_per_stage", "stem_channels"),
}
_CLASSES: Mapping[str, tuple[str, ...]] = {
    "conv_op": ("Conv3d",),
    "norm_op": ("BatchNorm3d", "InstanceNorm3d"),
    "nonlin": ("ELU", "GELU", "LeakyReLU", "Mish", "PReLU", "ReLU", "SiLU"),
}
"""The classes of torch that arguments can name."""

_Count = Annotated[int, Field(ge=1, le=1 << 16)]


class _OldArchitecture(Record):
    """The network in the plans of nnU-Net 2.0 to 2.2."""

    UNet_class_name: str
    UNet_base_num_features: _Count
    unet_max_num_features: _Count
    n_conv_per_stage_encoder: Annotated[list[int], Field(min_length=2, max_length=16)]
    n_conv_per_stage_decoder: Any
    conv_kernel_sizes: Any
    pool_op_kernel_sizes: Any


OLD_KEYS = tuple(_OldArchitecture.model_fields)
"""The keys of a configuration that describe the network in older plans."""


def network_definition(plans: Plans, inputs: int, outputs: int, *, has_batch_norm: bool) -> dict[str, Any]:
    """Returns the ``network_def`` of a configuration.

    Args:
        plans: The plans.
        inputs: The number of input channels.
        outputs: The number of output channels.
        has_batch_norm: Whether the trainer replaces the normalization by batch normalization.

    Raises:
        ModelError: The network, or one of its arguments, is not supported.
    """
    where = f"{plans.where}: architecture"
    architecture = plans.configuration.architecture
    if architecture is None:
        architecture, where = _from_old_plans(plans.entries, plans.where), plans.where
    package, _, name = architecture.network_class_name.rpartition(".")
    if name not in _ARGUMENTS or not f"{package}.".startswith(_PACKAGE):
        raise ModelError(
            f"{where}: the network {architecture.network_class_name!r} is not supported: expected "
            f"{' or '.join(_ARGUMENTS)} of dynamic_network_architectures"
        )
    arguments = _plain_arguments(name, architecture.arch_kwargs, where)
    if has_batch_norm:
        arguments |= {"norm_op": "BatchNorm3d", "norm_op_kwargs": {"eps": 1e-5, "affine": True}}
    return {"_target_": name, "input_channels": inputs, "num_classes": outputs, **arguments}


def _plain_arguments(name: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Returns arguments with short names of classes, without those that have no effect."""
    known = _ARGUMENTS[name]
    for key, value in given.items():
        if key not in known and key not in _NEUTRAL and value is not None:
            raise ModelError(f"{where}: {name}: the argument {key[:80]!r} is not supported: expected {known}")
    _class_name("conv_op", given.get("conv_op"), where)
    arguments = {key: given[key] for key in known if given.get(key) is not None}
    classes = {key: _class_name(key, arguments[key], where) for key in _CLASSES if key in arguments}
    return arguments | classes


def _class_name(argument: str, given: Any, where: str) -> str:
    """Returns the name of a class of ``torch.nn`` without its modules."""
    name = given.rpartition(".")[2] if isinstance(given, str) and given.startswith("torch.nn.") else None
    if name not in _CLASSES[argument]:
        expected = join_names([f"torch.nn.{each}" for each in _CLASSES[argument]], 12)
        raise ModelError(f"{where}: {argument}: expected {expected}; got {given!r:.80}")
    return name


def _from_old_plans(entries: Mapping[str, Any], where: str) -> Architecture:
    """Returns the network as newer versions of nnU-Net write it."""
    old = validate_record(_OldArchitecture, entries, where, ModelError)
    stages = len(old.n_conv_per_stage_encoder)
    features = [min(old.UNet_base_num_features * 2**stage, old.unet_max_num_features) for stage in range(stages)]
    counts = "n_blocks_per_stage" if old.UNet_class_name == RESIDUAL else "n_conv_per_stage"
    arguments = {
        "n_stages": stages,
        "features_per_stage": features,
        "conv_op": "torch.nn.Conv3d",
        "kernel_sizes": old.conv_kernel_sizes,
        "strides": old.pool_op_kernel_sizes,
        counts: old.n_conv_per_stage_encoder,
        "n_conv_per_stage_decoder": old.n_conv_per_stage_decoder,
        "conv_bias": True,
        "norm_op": "torch.nn.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return Architecture(network_class_name=f"{_PACKAGE}{old.UNet_class_name[:80]}", arch_kwargs=arguments)
