"""The TensorRT engine with a fake of the TensorRT API, so that TensorRT itself is not tested."""

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
from clickseg.inference.runtime_settings import Runtime, RuntimeSettings
from clickseg.models.package import ModelPackage, load_package
from clickseg.models.weights_files import write_weight_digests
from tests.helpers import phantoms
from tests.helpers.networks import NETWORK, SECTION, make_package
from tests.helpers.oracles import nets, torch
from tests.helpers.runs import run_clickseg
from tests.helpers.tensorrt_stand_in import FakeTensorRt

GROUP_NORM = {"_target_": "monai.networks.nets.SegResNet", "in_channels": 3, "out_channels": 2, "init_filters": 8}
BATCH = np.random.default_rng(0).normal(size=(4, 3, 8, 8, 8)).astype(np.float32)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorRt]:
    pytest.importorskip("onnxscript")
    module = FakeTensorRt()
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    engine = importlib.import_module("clickseg.inference.engines.tensorrt_engine")
    monkeypatch.setattr(engine, "_current_device", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(engine, "_stream", lambda: 7)
    monkeypatch.setattr(engine, "_gpu_description", lambda _: "a GPU")
    monkeypatch.setattr(engine, "to_onnx", cache_exports(engine.to_onnx))
    yield module
    del sys.modules["clickseg.inference.engines.tensorrt_engine"]


EXPORTED: dict[object, bytes] = {}


def cache_exports(export: Callable[..., bytes]) -> Callable[..., bytes]:
    """Returns the real export, which takes seconds, but runs only once per network, shape and precision."""

    def to_onnx(network: torch.nn.Module, shape: tuple[int, ...], precision: Precision) -> bytes:
        weights = tuple(value.numpy().tobytes() for value in network.state_dict().values())
        key = (str(network), hash(weights), tuple(shape), precision)
        if key not in EXPORTED:
            EXPORTED[key] = export(network, shape, precision)
        return EXPORTED[key]

    return to_onnx


def load_engine(model: ModelPackage, precision: Precision = Precision.AUTO, cache: Path | None = None) -> Engine:
    from clickseg.inference.engines.tensorrt_engine import TensorRtEngine

    return TensorRtEngine(model, "cpu", precision, cache)


@pytest.fixture
def model(tmp_path: Path) -> ModelPackage:
    return make_package(tmp_path / "unet")


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
def test_the_compiled_network_gives_the_logits_of_torch(
    tensorrt: FakeTensorRt, tmp_path: Path, network: dict[str, object], precision: Precision, tolerance: float
) -> None:
    model = make_package(tmp_path / "net", network)
    exact = make_engine(model, RuntimeSettings(Runtime.TORCH, "cpu", Precision.F32)).infer(BATCH)

    engine = load_engine(model, precision)
    logits = engine.infer(BATCH)

    assert (logits.shape, logits.dtype, engine.batch) == (exact.shape, np.float32, 4)
    assert np.linalg.norm(logits - exact) / np.linalg.norm(exact) < tolerance
    assert np.array_equal(logits, exact) is False
    assert np.array_equal(engine.infer(BATCH), logits)


def test_convolutions_are_in_f16_and_normalizations_in_f32() -> None:
    """A sum over a volume exceeds the range of f16; a strongly typed network computes in the types of the ONNX."""
    pytest.importorskip("onnxscript")
    import onnx

    from clickseg.inference.engines.onnx_export import to_onnx

    network = nets.UNet(**{key: value for key, value in NETWORK.items() if key != "_target_"}).eval()
    exported = onnx.load_model_from_string(to_onnx(network, BATCH.shape, Precision.F16))

    onnx.checker.check_model(exported, full_check=True)
    graph = onnx.shape_inference.infer_shapes(exported, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    operations = {(node.op_type, types[node.output[0]]) for node in graph.node}
    assert {("Conv", onnx.TensorProto.FLOAT16), ("InstanceNormalization", onnx.TensorProto.FLOAT)} <= operations
    assert {("Conv", onnx.TensorProto.FLOAT), ("InstanceNormalization", onnx.TensorProto.FLOAT16)} & operations == set()
    assert {types["windows"], types["logits"]} == {onnx.TensorProto.FLOAT}


def test_closing_an_engine_frees_its_plan(tensorrt: FakeTensorRt, model: ModelPackage) -> None:
    engine = load_engine(model)
    plan = weakref.ref(engine._plan)

    engine.close()

    assert plan() is None


def test_a_plan_is_compiled_once_and_then_loaded_from_the_cache(
    tensorrt: FakeTensorRt, model: ModelPackage, tmp_path: Path
) -> None:
    first, second = (load_engine(model, cache=tmp_path) for _ in range(2))

    (path,) = (tmp_path / "tensorrt").iterdir()
    assert tensorrt.build_count == 1
    assert first.plan_file == path
    assert path.suffix == ".plan"
    assert first.describe()["plan"] == hashlib.sha256(path.read_bytes()[32:]).hexdigest()
    assert first.describe() == second.describe()
    assert np.array_equal(first.infer(BATCH), second.infer(BATCH))


@pytest.mark.parametrize("damage", [lambda b: b[:5000], lambda b: b[:-9] + b"\0" * 9, lambda _: b""])
def test_a_damaged_plan_is_compiled_again(
    tensorrt: FakeTensorRt, model: ModelPackage, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    expected = load_engine(model, cache=tmp_path).infer(BATCH)
    (path,) = (tmp_path / "tensorrt").iterdir()
    path.write_bytes(damage(path.read_bytes()))

    assert np.array_equal(load_engine(model, cache=tmp_path).infer(BATCH), expected)
    assert tensorrt.build_count == 2


def test_a_plan_that_tensorrt_cannot_load_is_compiled_again(
    tensorrt: FakeTensorRt, model: ModelPackage, tmp_path: Path
) -> None:
    load_engine(model, cache=tmp_path)
    (path,) = (tmp_path / "tensorrt").iterdir()
    path.write_bytes(hashlib.sha256(b"another").digest() + b"another")

    assert load_engine(model, cache=tmp_path).infer(BATCH).shape == (4, 2, 8, 8, 8)
    assert tensorrt.build_count == 2


def rewrite_config(model: ModelPackage, name: str, change: Callable[[dict[str, object]], object]) -> ModelPackage:
    path = model.path / "configs" / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return load_package(model.path)


def with_other_weights(model: ModelPackage) -> ModelPackage:
    path = model.path / "models" / "model.pt"
    torch.save({name: value + 1 for name, value in torch.load(path, weights_only=True).items()}, path)
    write_weight_digests(model, ("model.pt",))
    return load_package(model.path)


def with_another_window(model: ModelPackage) -> ModelPackage:
    return rewrite_config(model, "metadata.json", lambda c: c["clickseg"]["window"].update(roi=[16, 8, 8]))


def with_another_network(model: ModelPackage) -> ModelPackage:
    return rewrite_config(model, "inference.json", lambda c: c["network_def"].update(act="relu6"))


@pytest.mark.parametrize("change", [with_other_weights, with_another_window, with_another_network])
def test_another_network_has_another_plan(
    tensorrt: FakeTensorRt, model: ModelPackage, tmp_path: Path, change: Callable[[ModelPackage], ModelPackage]
) -> None:
    relu = make_package(tmp_path / "relu", NETWORK | {"act": "relu"})  # an activation without weights
    files = {load_engine(variant(relu), cache=tmp_path).plan_file for variant in (lambda same: same, change)}

    assert len(files) == 2


def test_another_gpu_version_precision_or_batch_has_another_plan(
    tensorrt: FakeTensorRt, model: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(model, cache=tmp_path)
    files = [
        engine.plan_file,
        engine.with_half_batch().plan_file,
        load_engine(model, Precision.F32, tmp_path).plan_file,
    ]
    monkeypatch.setattr("clickseg.inference.engines.tensorrt_engine._gpu_description", lambda _: "another GPU")
    files.append(load_engine(model, cache=tmp_path).plan_file)
    monkeypatch.setattr(tensorrt, "__version__", "11.5.0.1")
    files.append(load_engine(model, cache=tmp_path).plan_file)

    assert len(set(files)) == len(files) == tensorrt.build_count


def test_half_the_batch_size_gives_almost_the_same_logits(tensorrt: FakeTensorRt, model: ModelPackage) -> None:
    engine = load_engine(model)
    half = engine.with_half_batch()

    assert (half.batch, half.with_half_batch().batch, half.with_half_batch().with_half_batch()) == (2, 1, None)
    np.testing.assert_allclose(half.infer(BATCH[:2]), engine.infer(BATCH)[:2], atol=1e-3)


def test_another_batch_size_is_an_error(tensorrt: FakeTensorRt, model: ModelPackage) -> None:
    with pytest.raises(EngineError, match=r"TensorRT: expected input \[4, 3, 8, 8, 8\], got \[1, 3, 8, 8, 8\]"):
        load_engine(model).infer(BATCH[:1])


def test_logits_of_another_shape_are_an_error(tensorrt: FakeTensorRt, model: ModelPackage) -> None:
    section = SECTION | {"output_channels": 3, "weights": dict(model.spec.weights)}
    phantoms.write_package(model.path, section, NETWORK)

    with pytest.raises(EngineError, match=r"model unet: expected logits \[4, 3, 8, 8, 8\], got \[4, 2, 8, 8, 8\]"):
        load_engine(load_package(model.path))


def test_failures_of_tensorrt_are_errors(
    tensorrt: FakeTensorRt, model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "context", lambda _: None)
    with pytest.raises(DeviceMemoryError, match="TensorRT failed to load the network: out of memory"):
        load_engine(model)
    monkeypatch.setattr(tensorrt, "can_compile", False)
    with pytest.raises(EngineError, match="model unet: TensorRT cannot compile the network"):
        load_engine(model)
    monkeypatch.setattr("clickseg.inference.engines.tensorrt_engine.to_onnx", lambda *_: b"invalid")
    with pytest.raises(EngineError, match="model unet: TensorRT cannot read the network: invalid ONNX"):
        load_engine(model)


def test_a_network_that_cannot_be_run_is_an_error(
    tensorrt: FakeTensorRt, model: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clickseg.inference.engines.tensorrt_engine._stream", lambda: 8)

    with pytest.raises(EngineError, match="TensorRT cannot run the network"):
        load_engine(model).infer(BATCH)


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8])
def test_other_precisions_are_rejected(tensorrt: FakeTensorRt, model: ModelPackage, precision: Precision) -> None:
    with pytest.raises(EngineError, match=f"TensorRT supports f16, f32, not {precision.value}"):
        load_engine(model, precision)


def test_a_package_without_torch_weights_is_an_error(tensorrt: FakeTensorRt, model: ModelPackage) -> None:
    (model.path / "models" / "model.pt").unlink()

    with pytest.raises(ModelError, match=r"no model\.pt among its weights"):
        load_engine(model)


def test_a_package_without_a_network_definition_is_an_error(tensorrt: FakeTensorRt, model: ModelPackage) -> None:
    (model.path / "configs" / "inference.json").unlink()

    with pytest.raises(ModelError, match=r"inference\.json: cannot be read"):
        load_engine(model)


def test_tensorrt_runs_only_on_cuda(tensorrt: FakeTensorRt, model: ModelPackage) -> None:
    with pytest.raises(EngineError, match="TensorRT runs only on CUDA, not on the CPU"):
        make_engine(model, RuntimeSettings(Runtime.TENSORRT, "cpu", Precision.AUTO))
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="torch finds no CUDA device"):
            make_engine(model, RuntimeSettings(Runtime.TENSORRT, "auto", Precision.AUTO))


def test_auto_is_never_tensorrt(tensorrt: FakeTensorRt, model: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clickseg.inference.engines.choice.has_cuda_device", lambda: True)

    assert make_engine(model, RuntimeSettings(Runtime.AUTO, "auto", Precision.F32)).describe()["engine"] == "torch"


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_if_tensorrt_is_not_installed_the_error_tells_how_to_install_it(model: ModelPackage) -> None:
    result = run_clickseg("models", "export", model.path, "--engine", "tensorrt")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-2:] == [
        "error: TensorRT is not installed",
        "hint: pip install 'clickseg[tensorrt]'",
    ]


def test_an_export_to_a_cache_that_cannot_be_written_to_is_an_error(
    tensorrt: FakeTensorRt, model: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clickseg.core.errors import OutputError
    from clickseg.inference.engines.export import export_tensorrt

    monkeypatch.setattr(
        "clickseg.inference.engines.export.make_plain_engine",
        lambda model, settings: load_engine(model, cache=settings.cache),
    )
    (tmp_path / "file").touch()

    assert export_tensorrt(model, RuntimeSettings(cache=tmp_path / "cache")).is_file()
    with pytest.raises(OutputError, match="file: cannot be written to"):
        export_tensorrt(model, RuntimeSettings(cache=tmp_path / "file"))


def test_openvino_weights_are_not_exported_in_f16(model: ModelPackage) -> None:
    result = run_clickseg("models", "export", model.path, "--precision", "f16")

    assert result.returncode == 2
    assert "error: --precision: expected f32 or int8 for OpenVINO, got f16" in result.stderr
