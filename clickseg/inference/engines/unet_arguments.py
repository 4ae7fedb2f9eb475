"""The arguments of nnU-Net's networks: plain JSON values, of which all sizes are limited."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from clickseg.core.validation import StrictModel

_Channels = Annotated[int, Field(ge=1, le=1 << 16)]
_Count = Annotated[int, Field(ge=1, le=64)]
_Stride = Annotated[int, Field(ge=1, le=64)]
_Kernel = Annotated[int, Field(ge=1, le=63)]
_Strides = tuple[_Stride, _Stride, _Stride]
_Kernels = tuple[_Kernel, _Kernel, _Kernel]
_Settings = dict[str, bool | int | float | str | None]

_MAX_STAGES = 16

_OF_STAGES = ("features_per_stage", "kernel_sizes", "strides")
"""The arguments with one value for each stage of the encoder, or one for all."""

_OF_AXES = ("kernel_sizes", "strides")
"""The arguments whose values have one number for each axis, or one for all."""

_OF_DECODER = "n_conv_per_stage_decoder"


class UNetArguments(StrictModel):
    """What the networks have in common; the names are those of ``dynamic_network_architectures``.

    A single number for an argument with one value for each stage, or for each axis, is that of all.
    """

    input_channels: _Channels
    num_classes: Annotated[int, Field(ge=1, le=1024)]
    n_stages: Annotated[int, Field(ge=2, le=_MAX_STAGES)]
    features_per_stage: tuple[_Channels, ...]
    kernel_sizes: tuple[_Kernels, ...]
    strides: tuple[_Strides, ...]
    n_conv_per_stage_decoder: tuple[_Count, ...]
    conv_bias: bool = False
    norm_op: Literal["BatchNorm3d", "InstanceNorm3d"] | None = None
    norm_op_kwargs: _Settings = Field(default_factory=dict)
    nonlin: Literal["ELU", "GELU", "LeakyReLU", "Mish", "PReLU", "ReLU", "SiLU"] | None = None
    nonlin_kwargs: _Settings = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _repeat_single_values(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        stages: Any = content.get("n_stages")
        if not _is_number(stages) or not 2 <= stages <= _MAX_STAGES:
            return content  # an error of this field
        lengths = dict.fromkeys((*_OF_STAGES, *cls._of_stages()), stages) | {_OF_DECODER: stages - 1}
        repeated = {name: _repeated(content[name], length) for name, length in lengths.items() if name in content}
        for name in set(_OF_AXES) & set(repeated):
            repeated[name] = _of_each_axis(repeated[name])
        return content | repeated

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = dict.fromkeys((*_OF_STAGES, *self._of_stages()), self.n_stages) | {_OF_DECODER: self.n_stages - 1}
        for name, length in lengths.items():
            if len(getattr(self, name)) != length:
                raise ValueError(f"{name}: expected {length} values, got {len(getattr(self, name))}")
        return self

    @property
    def is_nonlin_first(self) -> bool:
        """Whether the nonlinearity precedes the normalization."""
        return False

    @classmethod
    def _of_stages(cls) -> tuple[str, ...]:
        """Returns the names of further arguments with one value for each stage."""
        return ()


class PlainConvUNetArguments(UNetArguments):
    """The arguments of ``PlainConvUNet``."""

    n_conv_per_stage: tuple[_Count, ...]
    nonlin_first: bool = False

    @property
    def is_nonlin_first(self) -> bool:
        """Whether the nonlinearity precedes the normalization."""
        return self.nonlin_first

    @classmethod
    def _of_stages(cls) -> tuple[str, ...]:
        return ("n_conv_per_stage",)


class ResidualEncoderUNetArguments(UNetArguments):
    """The arguments of ``ResidualEncoderUNet``, with basic blocks."""

    n_blocks_per_stage: tuple[_Count, ...]
    stem_channels: _Channels | None = None

    @classmethod
    def _of_stages(cls) -> tuple[str, ...]:
        return ("n_blocks_per_stage",)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _repeated(value: Any, length: int) -> Any:
    return [value] * length if _is_number(value) else value


def _of_each_axis(values: Any) -> Any:
    return [_repeated(value, 3) for value in values] if isinstance(values, list | tuple) else values
