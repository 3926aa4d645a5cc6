"""Programs that use all of torch: with the monitor they print and return what they do without.

Values are printed to the bit. Real architectures are in `test_exactness`, ways to start and to die
in `test_starts_and_ends`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from aimatrix.monitoring.agent.activation import CAPTURES

pytest.importorskip("torch")

START = """
import hashlib, sys, warnings
import torch
from torch import nn
warnings.simplefilter("ignore")
torch.manual_seed(0)
torch.set_num_threads(1)

def show(name, *tensors):
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        found.update(tensor.detach().double().contiguous().numpy().tobytes())
    print(name, found.hexdigest()[:16])

def model():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )

class Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.full((3,), float(index)).square() + torch.randn(3)

images, labels = torch.randn(4, 3, 8, 8), torch.arange(4)

if __name__ == "__main__":
"""

PROGRAMS = {
    "training with every kind of optimizer": """
        for make in (
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, foreach=False),
            lambda p: torch.optim.Adam(p, foreach=True),
            lambda p: torch.optim.AdamW(p, fused=True),
            lambda p: torch.optim.RMSprop(p),
        ):
            network = model()
            optimizer = make(network.parameters())
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            for _ in range(3):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(images), labels)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            show(type(optimizer).__name__, loss, *network.parameters(), *network.buffers())
        weight = nn.Parameter(torch.ones(3))
        lbfgs = torch.optim.LBFGS([weight], max_iter=5)
        def closure():
            lbfgs.zero_grad()
            loss = (weight - torch.arange(3)).square().sum()
            loss.backward()
            return loss
        lbfgs.step(closure)
        show("LBFGS", weight)
    """,
    "automatic mixed precision": """
        network = model()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu")
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype=dtype):
                output = network(images)
                loss = nn.functional.cross_entropy(output, labels)
            print(output.dtype, loss.dtype)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            show("amp", output, *network.parameters())
    """,
    "own functions, checkpoints and hooks": """
        from torch.utils.checkpoint import checkpoint
        class Cube(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                context.save_for_backward(x)
                return x * x * x
            @staticmethod
            def backward(context, gradient):
                (x,) = context.saved_tensors
                return 3 * x * x * gradient
        x = torch.randn(5, requires_grad=True)
        Cube.apply(x).sum().backward()
        show("function", x.grad)
        print(torch.autograd.gradcheck(Cube.apply, x.detach().double().requires_grad_()))
        for reentrant in (True, False):
            network = model()
            x = images.clone().requires_grad_()
            checkpoint(network, x, use_reentrant=reentrant).sum().backward()
            show("checkpoint", x.grad, *(p.grad for p in network.parameters()))
        seen = []
        network[0].register_forward_hook(lambda module, inputs, output: seen.append("forward"))
        network[0].register_full_backward_hook(lambda module, *_: seen.append("backward"))
        network[6].weight.register_hook(lambda gradient: gradient * 2)
        network[6].weight.register_post_accumulate_grad_hook(lambda _: seen.append("kept"))
        with torch.autograd.graph.save_on_cpu():
            network(images).sum().backward()
        show("hooks", network[6].weight.grad)
        print(seen)
        def failing(gradient):
            raise ValueError("of the application's own")
        y = torch.ones(2, requires_grad=True)
        z = y * 2
        z.register_hook(failing)
        try:
            z.sum().backward()
        except ValueError as error:
            print(error)
        x = torch.randn(3, requires_grad=True)
        (gradient,) = torch.autograd.grad(x.sin().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        show("second order", x.grad)
    """,
    "function transforms": """
        from torch.func import functional_call, grad, hessian, jacrev, jvp, vjp, vmap
        weight, rows = torch.randn(4, 4), torch.randn(6, 4)
        def loss(w, x):
            return nn.functional.linear(x, w).tanh().square().sum()
        show("grad", grad(loss)(weight, rows))
        show("per sample", vmap(grad(loss), (None, 0))(weight, rows))
        show("jacobian", jacrev(lambda x: weight @ x)(rows[0]), hessian(loss)(weight, rows))
        show("forward mode", *jvp(lambda x: (weight @ x).sin(), (rows[0],), (rows[1],)))
        show("backward mode", *vjp(lambda x: (weight @ x).sin(), rows[0])[1](rows[1]))
        layer = nn.Linear(4, 2)
        halved = {name: p / 2 for name, p in layer.named_parameters()}
        show("functional", functional_call(layer, halved, rows))
        show("random", vmap(lambda x: x + torch.randn(4), randomness="different")(rows))
    """,
    "scripted, traced and exported models": """
        network = model().eval()
        for converted in (
            torch.jit.script(network),
            torch.jit.trace(network, images),
            torch.jit.freeze(torch.jit.script(network)),
            torch.export.export(network, (images,)).module(),
            torch.fx.symbolic_trace(network),
        ):
            for _ in range(3):
                show(type(converted).__name__, converted(images))
        @torch.jit.script
        def count(x):
            total = torch.zeros(1)
            for i in range(x.size(0)):
                if bool(x[i] > 0):
                    total += x[i]
            return total
        show("control flow", count(torch.arange(5.0) - 2))
        future = torch.jit.fork(network, images)
        show("forked", torch.jit.wait(future))
    """,
    "compiled models": """
        network = model().eval()
        graphs = []
        def backend(graph, example):
            graphs.append(len(graph.graph.nodes))
            return graph.forward
        for chosen in (backend, "eager", "aot_eager"):
            torch._dynamo.reset()
            compiled = torch.compile(network, backend=chosen)
            for batch in (4, 4, 2):
                show("inference", compiled(images[:batch]))
            training = torch.compile(model().train(), backend=chosen)
            training(images).sum().backward()
            show("training", *(p.grad for p in training.parameters()))
        print(graphs)
        torch._dynamo.reset()
        counters = torch._dynamo.utils.counters
        counters.clear()
        @torch.compile(backend="eager")
        def broken(x):
            x = x.sin()
            print("a break in the graph")
            return x.cos()
        show("broken", broken(images)); show("broken", broken(images))
        print(dict(counters["stats"]), len(counters["graph_break"]), dict(counters["frames"]))
    """,
    "loading data by workers": """
        workers = {"num_workers": 2, "batch_size": 4, "shuffle": True}
        for context in ("fork", "spawn"):
            loader = torch.utils.data.DataLoader(
                Squares(), **workers, multiprocessing_context=context
            )
            for batch in loader:
                show(context, batch)
    """,
    "a profiler and modes of the application's own": """
        from torch.overrides import TorchFunctionMode
        from torch.utils._python_dispatch import TorchDispatchMode
        from torch.utils.flop_counter import FlopCounterMode
        network = model().eval()
        network(images)
        def profiled():
            # torch garbles the name of a frame now and then, also of a program on its own
            while True:
                try:
                    with torch.profiler.profile(record_shapes=True, with_stack=True) as profile:
                        with torch.profiler.record_function("mine"):
                            network(images)
                    return profile.key_averages()
                except UnicodeDecodeError:
                    pass
        for _ in range(2):
            print(sorted((e.key, e.count) for e in profiled() if "::" in e.key))
        with torch.autograd.profiler.profile() as profile:
            network(images).sum().backward()
        print(sorted({e.name for e in profile.function_events if e.name.startswith("aten::")}))
        class Names(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                names.append(str(function))
                return function(*args, **(kwargs or {}))
        class Functions(TorchFunctionMode):
            def __torch_function__(self, function, types, args=(), kwargs=None):
                names.append(getattr(function, "__name__", ""))
                return function(*args, **(kwargs or {}))
        for mode in (Names(), Functions()):
            names = []
            with mode:
                network(images)
            print(names)
        with FlopCounterMode(display=False) as counter:
            network(images)
        print(counter.get_total_flops())
        with torch.autograd.detect_anomaly(check_nan=True):
            network(images).sum().backward()
        show("anomaly", network[0].weight.grad)
    """,
    "tensors of other kinds": """
        from torch._subclasses import FakeTensorMode
        with FakeTensorMode():
            print(model()(torch.empty(4, 3, 8, 8)).shape)
        print(nn.Linear(3, 4, device="meta")(torch.empty(2, 3, device="meta")))
        sparse = torch.eye(3).to_sparse()
        show("sparse", torch.sparse.mm(sparse, torch.ones(3, 2)))
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
        print((nested * 2).unbind())
        show("complex", torch.view_as_real(torch.fft.fft(images)))
        show("quantized", torch.quantize_per_tensor(images, 0.1, 0, torch.qint8).dequantize())
        quantized = torch.ao.quantization.quantize_dynamic(nn.Linear(4, 4), {nn.Linear})
        show("dynamic", quantized(torch.randn(2, 4)))
        class Mine(torch.Tensor):
            pass
        mine = torch.ones(3).as_subclass(Mine)
        print(type(mine + 1).__name__, (mine + 1).sum().item())
        for wrong in (lambda: torch.ones(2) @ torch.ones(3), lambda: torch.ones(2)[5]):
            try:
                wrong()
            except (RuntimeError, IndexError) as error:
                print(type(error).__name__, error)
        show("random", torch.randn(4), torch.rand(3), torch.randperm(5))
        print(torch.initial_seed(), torch.is_grad_enabled(), torch.get_num_threads())
    """,
}

INDUCTOR = """
        network = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2)).requires_grad_(False)
        compiled = torch.compile(network)
        rows = torch.randn(4, 8)
        for _ in range(3):
            show("inference", compiled(rows))
        print(torch._dynamo.utils.counters["stats"]["unique_graphs"])
"""


#: a profile shows a dispatch mode: other operators, and with stacks torch garbles names of it
PROFILED = "a profiler and modes of the application's own"
#: what torch's profiler logs at each start and stop, also of a profile that is taken again
LOGGED = re.compile(r"(?m)^USDT:.*\n")


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_do_what_they_do_without_us(watch, tmp_path: Path, name: str) -> None:
    program = START + textwrap.indent(textwrap.dedent(PROGRAMS[name]), "    ")
    plain = _alone(program, tmp_path)
    assert plain.returncode == 0, plain.stderr
    for capture in CAPTURES if name != PROFILED else ["native"]:
        outcome = watch(program, capture=capture)
        assert outcome.stdout == plain.stdout, capture
        assert LOGGED.sub("", outcome.stderr) == LOGGED.sub("", plain.stderr), capture
        assert outcome.returncode == plain.returncode, capture
        assert outcome.counts, capture


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_compiled_code_is_compiled_alike(watch, tmp_path: Path, monkeypatch) -> None:
    program = START + textwrap.indent(textwrap.dedent(INDUCTOR), "    ")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "alone"))
    plain = _alone(program, tmp_path)
    assert plain.returncode == 0, plain.stderr
    for capture in CAPTURES:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / capture))
        outcome = watch(program, capture=capture)
        assert outcome.stdout == plain.stdout, capture
        assert outcome.stderr == plain.stderr, capture
        assert outcome.returncode == 0, capture


def _alone(program: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "program.py"
    path.write_text(program)
    return subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
