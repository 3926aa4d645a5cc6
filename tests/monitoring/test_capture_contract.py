"""What every capture has to do, whatever its technique; runs once for each one there is."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.monitoring.agent.activation import CAPTURES

pytest.importorskip("torch")


@pytest.fixture(params=sorted(CAPTURES))
def seen(request: pytest.FixtureRequest, watch: Callable[..., object]) -> Callable[..., object]:
    """Run a program under one of the captures."""
    return partial(watch, capture=request.param)


CONVOLUTIONS = {"aten::convolution", "aten::conv2d"}


def convolutions(outcome) -> int:
    return sum(outcome.calls(name) for name in CONVOLUTIONS)


def test_each_call_counts_once_with_its_shapes_and_attributes(seen) -> None:
    outcome = seen("""
        import torch
        layer = torch.nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        for _ in range(7):
            layer(torch.randn(1, 4, 9, 9))
        with torch.no_grad():
            layer(torch.randn(5, 4, 9, 9))
        with torch.inference_mode():
            layer(torch.randn(6, 4, 9, 9))
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    found = {}
    for count in outcome.counts:
        if count.raw.name in CONVOLUTIONS:
            arguments = count.raw.arguments
            assert arguments["weight"].shape == (8, 2, 3, 3)
            assert arguments["bias"].shape == (8,)
            assert arguments["groups"] == 2
            assert arguments["stride"] == (2, 2)
            assert arguments["padding"] == (1, 1)
            found[arguments["input"].shape] = count.calls
    assert found == {(1, 4, 9, 9): 7, (5, 4, 9, 9): 1, (6, 4, 9, 9): 1}


def test_dtypes_devices_and_operators_of_ones_own_are_told(seen) -> None:
    outcome = seen("""
        import torch
        library = torch.library.Library("mylib", "DEF")
        library.define("twice(Tensor x, float factor) -> Tensor")
        library.impl("twice", lambda x, factor: x * 2, "CPU")
        torch.ops.mylib.twice(torch.ones(3, dtype=torch.bfloat16), 0.5)
        torch.cat([torch.ones(2), torch.ones(3)])
    """)
    assert outcome.stderr == ""
    (own,) = [count.raw for count in outcome.counts if count.raw.name == "mylib::twice"]
    assert own.arguments["x"].dtype == "bfloat16"
    assert own.arguments["x"].device == "cpu"
    assert "factor" not in own.arguments  # no number of the application's leaves it
    (joined,) = [count.raw for count in outcome.counts if count.raw.name == "aten::cat"]
    assert [tensor.shape for tensor in joined.arguments["tensors"]] == [(2,), (3,)]


def test_phases_of_training_are_told_apart(seen) -> None:
    outcome = seen("""
        import torch
        layer = torch.nn.Conv2d(3, 4, 3)
        x = torch.randn(2, 3, 8, 8)
        sgd = torch.optim.SGD(layer.parameters(), lr=0.1, foreach=False)
        for _ in range(3):
            layer(x).sum().backward()
            sgd.step()
        lbfgs = torch.optim.LBFGS(layer.parameters(), max_iter=1)
        def closure():
            loss = layer(x).sum()
            loss.backward()
            return loss
        lbfgs.step(closure)
        with torch.no_grad():
            layer(x)
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    forward = sum(outcome.calls(name, phase="forward") for name in CONVOLUTIONS)
    assert forward == convolutions(outcome) == 5
    assert outcome.calls("aten::convolution_backward", phase="backward") == 4
    assert outcome.calls("aten::convolution_backward") == 4
    assert outcome.calls("aten::add_", phase="optimizer") >= 6


def test_every_thread_of_the_application_counts_exactly(seen) -> None:
    outcome = seen("""
        import threading, torch
        from concurrent.futures import ThreadPoolExecutor
        torch.set_num_threads(1)
        layer, x = torch.nn.Conv2d(1, 1, 1), torch.randn(1, 1, 2, 2)
        def work(_=None):
            for _ in range(200):
                layer(x)
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(9)))
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert convolutions(outcome) == 15 * 200


def test_forked_children_count_for_themselves(seen) -> None:
    outcome = seen("""
        import os, torch
        layer, x = torch.nn.Conv2d(1, 1, 1), torch.randn(1, 1, 2, 2)
        layer(x)
        for _ in range(2):
            child = os.fork()
            if child == 0:
                for _ in range(10):
                    layer(x)
                os._exit(0)
            os.waitpid(child, 0)
        layer(x)
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    found = [count.calls for count in outcome.counts if count.raw.name in CONVOLUTIONS]
    assert sorted(found) == [2, 10, 10]  # each process hands on its own


def test_modules_and_subprocesses_count_too(seen, tmp_path: Path) -> None:
    package = tmp_path / "application"
    package.mkdir()
    (package / "__main__.py").write_text(
        "import subprocess, sys, torch\n"
        "torch.nn.Conv2d(1, 1, 1)(torch.randn(1, 1, 2, 2))\n"
        "code = 'import torch; torch.nn.Conv2d(1, 1, 1)(torch.randn(1, 1, 2, 2))'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
    )
    shell = f"cd {tmp_path} && exec {sys.executable} -m application"
    outcome = seen(command=["sh", "-c", shell])
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert convolutions(outcome) == 2


@pytest.mark.parametrize(
    ("end", "returncode"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("ctypes.string_at(0)", -signal.SIGSEGV),
        ("os._exit(3)", 3),
        ("raise SystemExit(4)", 4),
    ],
)
def test_whatever_ends_the_application_its_counts_stay(seen, end: str, returncode: int) -> None:
    outcome = seen(f"""
        import ctypes, os, signal, torch
        layer, x = torch.nn.Conv2d(1, 1, 1), torch.randn(1, 1, 2, 2)
        for _ in range(1000):
            layer(x)
        {end}
    """)
    assert outcome.returncode == returncode
    assert convolutions(outcome) == 1000


def test_the_application_computes_what_it_would_without_us(seen, tmp_path: Path) -> None:
    program = """
        import sys, torch
        torch.manual_seed(0)
        torch.set_num_threads(1)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
            torch.nn.Dropout(), torch.nn.Flatten(), torch.nn.LSTM(36, 5),
        )
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            output, _ = model(torch.randn(2, 3, 8, 8).requires_grad_()[..., :8].contiguous())
            output.sum().backward()
            optimizer.step()
        print([parameter.double().sum().item().hex() for parameter in model.parameters()])
        print(sys.argv[1:], sys.path[1:], [n for n in sys.modules if "aimatrix" in n.split(".")])
        x = torch.randn(3)
        x.unsqueeze_(0).t_()
        print(x, x.shape, file=sys.stderr)
    """.replace("torch.nn.Flatten(), torch.nn.LSTM(36, 5)", "torch.nn.Flatten(), Tail()")
    program = program.replace(
        "        model = ",
        "        class Tail(torch.nn.LSTM):\n"
        "            def __init__(self): super().__init__(288, 5)\n"
        "        model = ",
    )
    outcome = seen(program)
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, check=True
    )
    assert outcome.stdout == plain.stdout
    assert outcome.stderr == plain.stderr
    assert convolutions(outcome) == 3


def test_tensors_without_data_are_no_work(seen) -> None:
    outcome = seen("""
        import torch
        from torch._subclasses import FakeTensorMode
        torch.nn.Conv2d(1, 1, 1, device="meta")(torch.empty(1, 1, 2, 2, device="meta"))
        with FakeTensorMode():
            fake = torch.nn.Conv2d(1, 1, 1)(torch.empty(1, 1, 2, 2))
        print((fake + 1).shape)
        graph = torch.export.export(torch.nn.Conv2d(1, 1, 1), (torch.ones(1, 1, 2, 2),))
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout == "torch.Size([1, 1, 2, 2])\n"
    assert convolutions(outcome) == 0
    assert outcome.calls("aten::empty") <= 2  # of the module that is exported


def test_unusual_tensors_and_operators_do_no_harm(seen) -> None:
    outcome = seen("""
        import torch
        from torch.testing._internal.two_tensor import TwoTensor
        double = TwoTensor(torch.ones(2, 2), torch.ones(2, 2))
        print((double @ double).a.sum().item())
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
        print((nested + nested).unbind()[1].sum().item())
        print(torch.eye(3).to_sparse().sum().item())
        print(torch.vmap(torch.dot)(torch.ones(4, 3), torch.ones(4, 3)).sum().item())
        print(torch.jit.script(torch.nn.ReLU())(torch.ones(2)).sum().item())
        from torch.utils.flop_counter import FlopCounterMode
        with FlopCounterMode(display=False) as counter:
            torch.ones(2, 2) @ torch.ones(2, 2)
        print(counter.get_total_flops())
        with torch.profiler.profile() as profile:
            torch.relu(torch.ones(2))
        print(any(event.key == "aten::relu" for event in profile.key_averages()))
    """)
    assert outcome.returncode == 0
    assert "aimatrix" not in outcome.stderr
    assert outcome.stdout.split() == ["8.0", "6.0", "3.0", "12.0", "2.0", "16", "True"]
    products = [
        count.calls
        for count in outcome.counts
        if count.raw.name in ("aten::mm", "aten::matmul")
        and all(tensor.shape == (2, 2) for tensor in count.raw.arguments.values())
    ]
    assert sum(products) == 3  # both halves of the double one, and the one whose FLOPs are counted
    assert outcome.calls("aten::relu") == 2


def test_compiled_models_stay_compiled(seen) -> None:
    outcome = seen("""
        import torch
        graphs = []
        def backend(graph, inputs):
            graphs.append(len([n for n in graph.graph.nodes if n.op == "call_function"]))
            return graph.forward
        layer = torch.nn.Conv2d(1, 1, 1)
        @torch.compile(backend=backend, fullgraph=True)
        def step(x):
            return layer(x).relu().sin()
        for _ in range(3):
            step(torch.randn(1, 1, 2, 2))
        print(len(graphs))
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        step(torch.randn(1, 1, 2, 2)).sum().backward()
        torch.compile(optimizer.step, backend=backend)()
        @torch.compile(backend=backend)
        def broken(x):
            x = x.sin()
            torch._dynamo.graph_break()
            return x.cos()
        before = len(graphs)
        broken(torch.randn(2)); broken(torch.randn(2))
        print(len(graphs) - before)
        sine, cosine = lambda x: x.sin(), lambda x: x.cos()
        print(torch.cond(torch.ones(()) > 0, sine, cosine, (torch.zeros(2),)))
    """)
    assert outcome.returncode == 0
    assert "aimatrix" not in outcome.stderr
    assert outcome.stdout == "1\n2\ntensor([0., 0.])\n"


def test_traced_functions_are_what_they_would_be_without_us(seen, tmp_path: Path) -> None:
    program = """
        import copy, importlib.util, io, warnings, torch
        from torch import nn
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3)
        model = nn.Sequential(layer, nn.BatchNorm2d(4), nn.ReLU()).eval()
        frozen = copy.deepcopy(model).requires_grad_(False)
        x, other = torch.rand(1, 3, 8, 8), torch.rand(2, 3, 9, 9)
        for traced in (
            torch.jit.trace(model, x),
            torch.jit.trace(lambda x: frozen(x) + 1, x),
            torch.jit.trace(model, example_kwarg_inputs={"input": x}),
            torch.jit.trace(lambda x: frozen(x) - 1, example_kwarg_inputs={"x": x}),
        ):
            result = traced(other)
            print(result.shape, result.double().sum().item().hex())
            print(len(str(traced.inlined_graph).splitlines()))
        try:
            torch.jit.trace(lambda x: 1 / 0, x)
        except ZeroDivisionError:
            print("its own error")
        if importlib.util.find_spec("onnx"):
            content = io.BytesIO()
            torch.onnx.export(model, (x,), content, dynamo=False)
            print(len(content.getvalue()))
        other = torch.rand(5, 3, 9, 9)
        for _ in range(3):
            layer(other)
    """
    outcome = seen(program)
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, check=True
    )
    assert (outcome.returncode, outcome.stderr) == (0, plain.stderr)
    assert outcome.stdout == plain.stdout
    after = [
        count.calls
        for count in outcome.counts
        if count.raw.name in CONVOLUTIONS and count.raw.arguments["input"].shape[0] == 5
    ]
    assert after == [3]


def test_torch_without_a_call_leaves_dynamo_alone(seen) -> None:
    outcome = seen("""
        import sys, torch
        torch.relu(torch.ones(2))
        print("torch._dynamo" in sys.modules)
    """)
    assert outcome.stdout == "False\n"


def macs_of(outcome, family: str) -> int:
    calls = [(translate(count.raw), count.calls) for count in outcome.counts]
    return sum((ops.cost(call).macs or 0) * times for call, times in calls if call.family == family)


def test_quantised_layers_do_as_many_multiply_adds_as_those_that_they_were_made_of(seen) -> None:
    outcome = seen(
        """
        import torch, warnings
        warnings.simplefilter("ignore")
        from torch import nn
        quantization = torch.ao.quantization

        class Small(nn.Module):
            def __init__(self):
                super().__init__()
                self.begin, self.end = quantization.QuantStub(), quantization.DeQuantStub()
                self.wide = nn.Conv2d(3, 8, 3, stride=2, padding=1)
                self.relu = nn.ReLU()
                self.grouped = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4, bias=False)
                self.back = nn.ConvTranspose2d(8, 6, 2, 2)
                self.head = nn.Linear(6, 5)

            def forward(self, x):
                x = self.relu(self.wide(self.begin(x)))
                x = self.back(self.grouped(x))
                return self.end(self.head(x.mean((2, 3))))

        model = Small().eval()
        model.qconfig = quantization.get_default_qconfig("fbgemm")
        model.back.qconfig = quantization.QConfig(  # has no scales of each channel
            quantization.default_observer, quantization.default_weight_observer)
        fused = quantization.fuse_modules(model, [["wide", "relu"]])
        words = nn.LSTM(8, 16, 2, bidirectional=True)
        with torch.no_grad():
            prepared = quantization.prepare(fused)
            prepared(torch.rand(2, 3, 16, 16))
            quantized = quantization.convert(prepared)
            for _ in range(3):
                quantized(torch.rand(2, 3, 16, 16))
            quantization.quantize_dynamic(words, {nn.LSTM})(torch.rand(5, 3, 8))
    """,
        attributes=ATTRIBUTES,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    places = 2 * 8 * 8
    of_wide = places * 8 * 3 * 9
    of_all = of_wide + places * 8 * 2 * 9 + places * 8 * 6 * 4
    assert macs_of(outcome, "convolution") == 4 * of_all  # with the one that was observed
    assert macs_of(outcome, "matmul") == 4 * 2 * 6 * 5
    assert macs_of(outcome, "recurrent") == 5 * 3 * 2 * 4 * 16 * (8 + 16 + 32 + 16)
    assert outcome.calls("quantized::conv2d_relu") == 3


def test_packed_weights_where_others_have_been(seen) -> None:
    """The address of an object that is gone may be that of the next."""
    outcome = seen(
        """
        import torch, warnings
        warnings.simplefilter("ignore")
        for features in range(1, 101):
            weight = torch.quantize_per_tensor(torch.rand(features, 4), 0.1, 0, torch.qint8)
            packed = torch.ops.quantized.linear_prepack(weight, None)
            torch.ops.quantized.linear_dynamic(torch.rand(1, 4), packed)
            del packed
    """,
        attributes=ATTRIBUTES,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert macs_of(outcome, "matmul") == 4 * sum(range(1, 101))


def test_equal_quantised_layers_are_one_signature(seen) -> None:
    outcome = seen(
        """
        import torch, warnings
        warnings.simplefilter("ignore")
        layers = [torch.ao.nn.quantized.dynamic.Linear(4, 6) for _ in range(20)]
        for layer in layers:
            layer(torch.rand(3, 4))
    """,
        attributes=ATTRIBUTES,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    (count,) = [c for c in outcome.counts if c.raw.name == "quantized::linear_dynamic"]
    assert count.calls == 20


def test_collectives_tell_how_many_processes_take_part(seen, tmp_path: Path) -> None:
    outcome = seen(
        f"""
        import os, subprocess, sys, warnings
        warnings.simplefilter("ignore")
        if len(sys.argv) == 1:
            ranks = [subprocess.Popen([sys.executable, __file__, str(rank)]) for rank in range(2)]
            sys.exit(max(each.wait() for each in ranks))
        import torch
        import torch.distributed as dist
        import torch.distributed._functional_collectives as functional

        rank = int(sys.argv[1])
        dist.init_process_group(
            "gloo", init_method="file://{tmp_path}/meeting", rank=rank, world_size=2)
        x = torch.rand(6)
        alone = [dist.new_group([each]) for each in range(2)][rank]
        dist.all_reduce(x)
        dist.all_reduce(x, group=alone)
        dist.all_gather([torch.empty(6), torch.empty(6)], x)
        dist.gather(x, [torch.empty(6), torch.empty(6)] if rank == 0 else None, 0)
        functional.all_reduce(x, "sum", dist.group.WORLD).sum()
        dist.destroy_process_group()
    """,
        attributes=ATTRIBUTES,
    )
    assert outcome.returncode == 0
    found: dict[tuple[object, ...], int] = {}
    for count in outcome.counts:
        call = translate(count.raw)
        if call.family == "collective":
            cost = ops.cost(call)
            what = (call.kind, call["group_size"], cost.bytes_read, cost.bytes_written)
            found[what] = found.get(what, 0) + count.calls
    assert found == {
        ("all_reduce", 2, 24, 24): 4,
        ("all_reduce", 1, 24, 24): 2,
        ("all_gather", 2, 24, 48): 2,
        ("gather", 2, 24, 48): 1,
        ("gather", 2, 24, 0): 1,
    }
