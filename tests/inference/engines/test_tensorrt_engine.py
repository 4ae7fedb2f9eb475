"""TensorRT where there is none: its Python interface is stood in for, so this says nothing of TensorRT itself."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clickseg.core.errors import DeviceMemoryError, EngineError, ModelError
from clickseg.inference.engines.choice import make_engine
from clickseg.inference.engines.engine import Engine, Precision
from clickseg.inference.engines.export import list_weights
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from tests.helpers import phantoms
from tests.helpers.networks import NETWORK, SECTION, package
from tests.helpers.oracles import nets, torch
from tests.helpers.runs import clickseg
from tests.helpers.tensorrt_stand_in import TensorRt

GROUP_NORM = {"_target_": "monai.networks.nets.SegResNet", "in_channels": 3, "out_channels": 2, "init_filters": 8}
BATCH = np.random.default_rng(0).normal(size=(4, 3, 8, 8, 8)).astype(np.float32)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[TensorRt]:
    pytest.importorskip("onnxscript")
    module = TensorRt()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    engine = importlib.import_module("clickseg.inference.engines.tensorrt_engine")
    monkeypatch.setattr(engine, "_present", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(engine, "_stream", lambda: 7)
    monkeypatch.setattr(engine, "_gpu", lambda _: "a GPU")
    monkeypatch.setattr(engine, "to_onnx", onnx_made_once(engine.to_onnx))
    yield module
    del sys.modules["clickseg.inference.engines.tensorrt_engine"]


ONNX: dict[object, bytes] = {}


def onnx_made_once(make: Callable[..., bytes]) -> Callable[..., bytes]:
    """The real export, which takes seconds, once for each network, shape and precision."""

    def to_onnx(network: torch.nn.Module, shape: tuple[int, ...], precision: Precision) -> bytes:
        weights = tuple(value.numpy().tobytes() for value in network.state_dict().values())
        key = (str(network), hash(weights), tuple(shape), precision)
        if key not in ONNX:
            ONNX[key] = make(network, shape, precision)
        return ONNX[key]

    return to_onnx


def engine_of(model: ModelPackage, precision: Precision = Precision.AUTO, cache: Path | None = None) -> Engine:
    from clickseg.inference.engines.tensorrt_engine import TensorRtEngine

    return TensorRtEngine(model, "cpu", precision, cache)


@pytest.fixture
def model(tmp_path: Path) -> ModelPackage:
    return package(tmp_path / "unet")


@pytest.mark.parametrize(("precision", "tolerance"), [(Precision.F32, 1e-5), (Precision.F16, 5e-3)])
@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        pytest.param(NETWORK | {"norm": "batch", "num_res_units": 1}, marks=pytest.mark.slow),
        pytest.param(GROUP_NORM, marks=pytest.mark.slow),
    ],
    ids=["instance norm", "batch norm", "group norm"],
)
def test_the_compiled_network_says_what_torch_says(
    tensorrt: TensorRt, tmp_path: Path, network: dict[str, object], precision: Precision, tolerance: float
) -> None:
    made = package(tmp_path / "net", network)
    exact = make_engine(made, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)).infer(BATCH)

    engine = engine_of(made, precision)
    said = engine.infer(BATCH)

    assert (said.shape, said.dtype, engine.batch) == (exact.shape, np.float32, 4)
    assert np.linalg.norm(said - exact) / np.linalg.norm(exact) < tolerance
    assert np.array_equal(said, exact) is False
    assert np.array_equal(engine.infer(BATCH), said)


def test_convolutions_are_in_f16_and_normalizations_in_f32() -> None:
    """Each sum over a volume would be too large for f16; a strongly typed network computes in the types of the ONNX."""
    pytest.importorskip("onnxscript")
    import onnx

    from clickseg.inference.engines.onnx_export import to_onnx

    network = nets.UNet(**{key: value for key, value in NETWORK.items() if key != "_target_"}).eval()
    made = onnx.load_model_from_string(to_onnx(network, BATCH.shape, Precision.F16))

    onnx.checker.check_model(made, full_check=True)
    graph = onnx.shape_inference.infer_shapes(made, strict_mode=True).graph
    types = {each.name: each.type.tensor_type.elem_type for each in (*graph.value_info, *graph.input, *graph.output)}
    said = {(node.op_type, types[node.output[0]]) for node in graph.node}
    assert {("Conv", onnx.TensorProto.FLOAT16), ("InstanceNormalization", onnx.TensorProto.FLOAT)} <= said
    assert {("Conv", onnx.TensorProto.FLOAT), ("InstanceNormalization", onnx.TensorProto.FLOAT16)} & said == set()
    assert {types["windows"], types["logits"]} == {onnx.TensorProto.FLOAT}


def test_an_engine_that_is_closed_frees_its_plan(tensorrt: TensorRt, model: ModelPackage) -> None:
    engine = engine_of(model)
    plan = weakref.ref(engine._plan)

    engine.close()

    assert plan() is None


def test_a_plan_is_compiled_once_and_taken_from_the_cache(
    tensorrt: TensorRt, model: ModelPackage, tmp_path: Path
) -> None:
    first, second = (engine_of(model, cache=tmp_path) for _ in range(2))

    (path,) = (tmp_path / "tensorrt").iterdir()
    assert tensorrt.built == 1
    assert first.plan_file == path
    assert path.suffix == ".plan"
    assert first.describe()["plan"] == hashlib.sha256(path.read_bytes()[32:]).hexdigest()
    assert first.describe() == second.describe()
    assert np.array_equal(first.infer(BATCH), second.infer(BATCH))


@pytest.mark.parametrize("damage", [lambda b: b[:5000], lambda b: b[:-9] + b"\0" * 9, lambda _: b""])
def test_a_damaged_plan_is_compiled_anew(
    tensorrt: TensorRt, model: ModelPackage, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    expected = engine_of(model, cache=tmp_path).infer(BATCH)
    (path,) = (tmp_path / "tensorrt").iterdir()
    path.write_bytes(damage(path.read_bytes()))

    assert np.array_equal(engine_of(model, cache=tmp_path).infer(BATCH), expected)
    assert tensorrt.built == 2


def test_a_plan_that_tensorrt_does_not_take_is_compiled_anew(
    tensorrt: TensorRt, model: ModelPackage, tmp_path: Path
) -> None:
    engine_of(model, cache=tmp_path)
    (path,) = (tmp_path / "tensorrt").iterdir()
    path.write_bytes(hashlib.sha256(b"another").digest() + b"another")

    assert engine_of(model, cache=tmp_path).infer(BATCH).shape == (4, 2, 8, 8, 8)
    assert tensorrt.built == 2


def rewritten(model: ModelPackage, name: str, change: Callable[[dict[str, object]], object]) -> ModelPackage:
    path = model.path / "configs" / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return load_package(model.path)


def with_other_weights(model: ModelPackage) -> ModelPackage:
    path = model.path / "models" / "model.pt"
    torch.save({name: value + 1 for name, value in torch.load(path, weights_only=True).items()}, path)
    list_weights(model, ("model.pt",))
    return load_package(model.path)


def with_another_window(model: ModelPackage) -> ModelPackage:
    return rewritten(model, "metadata.json", lambda c: c["clickseg"]["window"].update(roi=[16, 8, 8]))


def with_another_network(model: ModelPackage) -> ModelPackage:
    return rewritten(model, "inference.json", lambda c: c["network_def"].update(act="relu6"))


@pytest.mark.parametrize("change", [with_other_weights, with_another_window, with_another_network])
def test_another_network_has_another_plan(
    tensorrt: TensorRt, model: ModelPackage, tmp_path: Path, change: Callable[[ModelPackage], ModelPackage]
) -> None:
    made = package(tmp_path / "relu", NETWORK | {"act": "relu"})  # an activation that has no weights
    files = {engine_of(each(made), cache=tmp_path).plan_file for each in (lambda same: same, change)}

    assert len(files) == 2


def test_another_gpu_version_precision_or_batch_has_another_plan(
    tensorrt: TensorRt, model: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(model, cache=tmp_path)
    files = [engine.plan_file, engine.smaller().plan_file, engine_of(model, Precision.F32, tmp_path).plan_file]
    monkeypatch.setattr("clickseg.inference.engines.tensorrt_engine._gpu", lambda _: "another GPU")
    files.append(engine_of(model, cache=tmp_path).plan_file)
    monkeypatch.setattr(tensorrt, "__version__", "11.5.0.1")
    files.append(engine_of(model, cache=tmp_path).plan_file)

    assert len(set(files)) == len(files) == tensorrt.built


def test_half_the_batch_says_almost_the_same(tensorrt: TensorRt, model: ModelPackage) -> None:
    engine = engine_of(model)
    half = engine.smaller()

    assert (half.batch, half.smaller().batch, half.smaller().smaller()) == (2, 1, None)
    np.testing.assert_allclose(half.infer(BATCH[:2]), engine.infer(BATCH)[:2], atol=1e-3)


def test_another_number_of_windows_is_an_error(tensorrt: TensorRt, model: ModelPackage) -> None:
    with pytest.raises(EngineError, match=r"TensorRT failed in a window of \[1, 3, 8, 8, 8\]: it is for \[4, 3, 8,"):
        engine_of(model).infer(BATCH[:1])


def test_logits_of_another_shape_are_an_error(tensorrt: TensorRt, model: ModelPackage) -> None:
    section = SECTION | {"output_channels": 3, "weights": dict(model.spec.weights)}
    phantoms.write_package(model.path, section, NETWORK)

    with pytest.raises(EngineError, match=r"model unet: expected logits \[4, 3, 8, 8, 8\], got \[4, 2, 8, 8, 8\]"):
        engine_of(load_package(model.path))


def test_what_tensorrt_refuses_is_an_error(
    tensorrt: TensorRt, model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "context", lambda _: None)
    with pytest.raises(DeviceMemoryError, match="TensorRT failed to load the network: out of memory"):
        engine_of(model)
    monkeypatch.setattr(tensorrt, "compiles", False)
    with pytest.raises(EngineError, match="model unet: TensorRT cannot compile the network"):
        engine_of(model)
    monkeypatch.setattr("clickseg.inference.engines.tensorrt_engine.to_onnx", lambda *_: b"none")
    with pytest.raises(EngineError, match="model unet: TensorRT cannot read the network: no ONNX"):
        engine_of(model)


def test_a_network_that_cannot_be_run_is_an_error(
    tensorrt: TensorRt, model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clickseg.inference.engines.tensorrt_engine._stream", lambda: 8)

    with pytest.raises(EngineError, match="TensorRT cannot run the network"):
        engine_of(model).infer(BATCH)


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8])
def test_other_precisions_are_refused(tensorrt: TensorRt, model: ModelPackage, precision: Precision) -> None:
    with pytest.raises(EngineError, match=f"TensorRT computes in f16, f32 here, not in {precision.value}"):
        engine_of(model, precision)


def test_a_package_without_torch_weights_is_an_error(tensorrt: TensorRt, model: ModelPackage) -> None:
    (model.path / "models" / "model.pt").unlink()

    with pytest.raises(ModelError, match=r"no model\.pt among its weights"):
        engine_of(model)


def test_a_package_without_a_network_is_an_error(tensorrt: TensorRt, model: ModelPackage) -> None:
    (model.path / "configs" / "inference.json").unlink()

    with pytest.raises(ModelError, match=r"inference\.json: cannot be read"):
        engine_of(model)


def test_it_runs_on_cuda_only(tensorrt: TensorRt, model: ModelPackage) -> None:
    with pytest.raises(EngineError, match="TensorRT runs on CUDA, not on cpu"):
        make_engine(model, RuntimeSettings(Runtime.TENSORRT, "cpu", Precision.AUTO))
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="torch finds no CUDA device"):
            make_engine(model, RuntimeSettings(Runtime.TENSORRT, "auto", Precision.AUTO))


def test_auto_does_not_take_it(tensorrt: TensorRt, model: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clickseg.inference.engines.choice.has_cuda_device", lambda: True)

    assert make_engine(model, RuntimeSettings(Runtime.AUTO, "auto", Precision.F32)).describe()["engine"] == "torch"


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_where_it_is_not_installed_the_error_says_how_to_install_it(model: ModelPackage) -> None:
    ended = clickseg("export", model.path, "--engine", "tensorrt")

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-2:] == [
        "error: TensorRT is not installed",
        "hint: pip install 'clickseg[tensorrt]'",
    ]


def test_a_plan_that_cannot_be_kept_is_no_export(
    tensorrt: TensorRt, model: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clickseg.core.errors import OutputError
    from clickseg.inference.engines.export import export_tensorrt

    monkeypatch.setattr(
        "clickseg.inference.engines.export.make_engine", lambda model, settings: engine_of(model, cache=settings.cache)
    )
    (tmp_path / "file").touch()

    assert export_tensorrt(model, RuntimeSettings(cache=tmp_path / "cache")).is_file()
    with pytest.raises(OutputError, match="file: cannot be written to"):
        export_tensorrt(model, RuntimeSettings(cache=tmp_path / "file"))


def test_openvino_weights_are_not_exported_in_f16(model: ModelPackage) -> None:
    ended = clickseg("export", model.path, "--precision", "f16")

    assert ended.returncode == 2
    assert "error: OpenVINO weights are f32 or int8, not f16" in ended.stderr
