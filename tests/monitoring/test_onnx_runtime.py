"""ONNX Runtime under the monitor: every way to run a session, and what its model does in a run."""

from __future__ import annotations

import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from aimatrix import api, ops
from aimatrix.model.calls import OpCall
from aimatrix.model.workload import WorkloadRecord
from aimatrix.store.workload import WorkloadStore

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"

#: a convolution of weights that are made by a node, and what follows it, on any batch
NETWORK = """<ir_version: 8, opset_import: ["" : 17]>
network (float[batch,3,8,8] x) => (float[batch,5] y) <float[5,144] v> {
    size = Constant<value_ints=[4,3,3,3]>()
    w = ConstantOfShape(size)
    c = Conv<kernel_shape=[3,3]>(x, w)
    r = Relu(c)
    f = Flatten(r)
    y = Gemm<transB=1>(f, v)
}"""
MACS_OF_ONE = 4 * 36 * 27 + 144 * 5

Recorded = Callable[..., list[WorkloadRecord]]


def write_network(path: Path) -> None:
    model = onnx.parser.parse_model(NETWORK)
    weights = onnx.helper.make_tensor("v", onnx.TensorProto.FLOAT, [5, 144], [0.1] * 720)
    del model.graph.initializer[:]
    model.graph.initializer.append(weights)
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def recorded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Recorded:
    """Run a program beside ``network.onnx`` under the monitor; what is in the log then."""
    write_network(tmp_path / "network.onnx")

    def run(program: str, *arguments: str, returncode: int = 0) -> list[WorkloadRecord]:
        script = tmp_path / "program.py"
        head = f"import os\nos.chdir({str(tmp_path)!r})\n"
        script.write_text(head + textwrap.dedent(program))
        store = tmp_path / f"store-{len(list(tmp_path.iterdir()))}"
        ended = api.monitor([sys.executable, str(script), *arguments], store=store)
        output = capfd.readouterr()
        assert ended == returncode, output.err
        assert not re.search("^aimatrix:", output.err, re.MULTILINE), output.err
        return WorkloadStore(store).totals()

    return run


def signatures(records: list[WorkloadRecord]) -> Counter[OpCall]:
    found: Counter[OpCall] = Counter()
    for record in records:
        found[record.call] += record.calls
    return found


def pairs(store: Path) -> dict[tuple[OpCall, OpCall], int]:
    return {(pair.producer, pair.consumer): pair.calls for pair in WorkloadStore(store).pairs()}


def macs(records: list[WorkloadRecord]) -> int:
    return sum((ops.cost(record.call).macs or 0) * record.calls for record in records)


def calls(records: list[WorkloadRecord], name: str) -> int:
    return sum(record.calls for record in records if record.name == name)


EVERY_WAY = """
    import threading
    import numpy
    import onnxruntime as ort

    session = ort.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
    x = numpy.ones((2, 3, 8, 8), numpy.float32)
    value = ort.OrtValue.ortvalue_from_numpy(x)

    session.run(None, {"x": x})
    session.run(["y"], input_feed={"x": x})
    session.run(None, {"x": x.tolist()})
    session.run_with_ort_values(["y"], {"x": value})

    binding = session.io_binding()
    binding.bind_output("y")
    binding.bind_cpu_input("x", x)
    session.run_with_iobinding(binding)
    binding.clear_binding_inputs()
    binding.bind_ortvalue_input(name="x", ortvalue=value)
    session.run_with_iobinding(binding)
    binding.bind_input("x", "cpu", 0, numpy.float32, [2, 3, 8, 8], x.ctypes.data)
    session.run_with_iobinding(binding)

    C = ort.capi.onnxruntime_pybind11_state
    given, found = C.OrtValueVector(), C.OrtValueVector()
    given.push_back(value._get_c_value())
    cpu = C.OrtDevice(C.OrtDevice.cpu(), C.OrtDevice.default_memory(), 0)
    session.run_with_ortvaluevector(ort.RunOptions(), ["x"], given, ["y"], found, [cpu])

    ended = threading.Event()
    session.run_async(["y"], {"x": x}, lambda *_: ended.set(), None)
    ended.wait()
"""


def test_every_way_to_run_a_session_counts(recorded: Recorded) -> None:
    records = recorded(EVERY_WAY)
    assert (calls(records, "onnx::Conv"), calls(records, "onnx::Gemm")) == (9, 9)
    assert macs(records) == 9 * 2 * MACS_OF_ONE
    assert {record.source for record in records} == {"onnxruntime"}
    assert calls(records, "onnx::ConstantOfShape") == 0  # weights are made once, not in each run


def test_a_run_counts_with_the_shapes_that_it_had(recorded: Recorded) -> None:
    records = recorded(
        """
        import numpy
        import onnxruntime

        with open("network.onnx", "rb") as file:  # a model in memory
            session = onnxruntime.InferenceSession(file.read())
        for batch in (1, 2, 2, 5):
            session.run(None, {"x": numpy.ones((batch, 3, 8, 8), numpy.float32)})
        """
    )
    batches = Counter(
        {
            record.call["batch"]: record.calls
            for record in records
            if record.call.family == "convolution"
        }
    )
    assert batches == {1: 1, 2: 2, 5: 1}
    assert macs(records) == 10 * MACS_OF_ONE


def test_threads_and_forked_children_count_exactly(recorded: Recorded) -> None:
    records = recorded(
        """
        import os
        from concurrent.futures import ThreadPoolExecutor
        import numpy
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession("network.onnx", options)
        x = numpy.ones((1, 3, 8, 8), numpy.float32)

        def many(_):
            for _ in range(250):
                session.run(None, {"x": x})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(many, range(4)))
        child = os.fork()
        if child == 0:
            many(0)
            os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        """
    )
    assert calls(records, "onnx::Conv") == 1250


def test_a_failed_run_is_the_applications_own_and_counts_nothing(recorded: Recorded) -> None:
    records = recorded(
        """
        import numpy
        import onnxruntime

        session = onnxruntime.InferenceSession("network.onnx")
        try:
            session.run(None, {"x": numpy.ones((1, 4, 8, 8), numpy.float32)})
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
            session.run(None, {"x": numpy.ones((1, 3, 8, 8), numpy.float32)})
        """
    )
    assert calls(records, "onnx::Conv") == 1


def test_a_model_that_cannot_be_read_is_unknown_and_not_zero(recorded: Recorded) -> None:
    records = recorded(
        """
        import numpy
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = "network.ort"  # a format of ONNX Runtime's own
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession("network.onnx", options)
        session = onnxruntime.InferenceSession("network.ort")
        session.run(None, {"x": numpy.ones((1, 3, 8, 8), numpy.float32)})
        """
    )
    (record,) = records
    assert (record.call.family, record.name, record.calls) == ("unknown", "onnxruntime::run", 1)


def test_a_subclass_of_a_session_counts(recorded: Recorded) -> None:
    records = recorded(
        """
        import numpy
        from onnxruntime import InferenceSession

        class Session(InferenceSession):
            def __init__(self, path):
                super().__init__(path_or_bytes=path)

            def __call__(self, x):
                return self.run(None, {"x": x})[0]

        assert Session("network.onnx")(numpy.ones((1, 3, 8, 8), numpy.float32)).shape == (1, 5)
        """
    )
    assert macs(records) == MACS_OF_ONE


RUN = """
    import sys
    import numpy
    import onnxruntime

    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in given.shape]
    for _ in range(2):
        session.run(None, {given.name: numpy.zeros(shape, numpy.float32)})
"""
MODELS = sorted(LIGHT.glob("light_*.onnx"))


def test_all_models_of_the_onnx_package_are_compared() -> None:
    assert len(MODELS) >= 9


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_a_model_is_the_same_when_it_runs_and_as_a_file(
    recorded: Recorded, tmp_path: Path, model: Path
) -> None:
    ran = recorded(RUN, str(model))
    api.import_([model], store=tmp_path / "imported", calls=2)
    imported = WorkloadStore(tmp_path / "imported").totals()
    assert signatures(ran) == signatures(imported)
    assert macs(ran) == macs(imported) > 0
    assert not [record.name for record in ran if record.call.family == "unknown"]
    [store] = tmp_path.glob("store-*")
    assert pairs(store) == pairs(tmp_path / "imported") != {}
