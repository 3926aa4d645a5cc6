"""Jitted functions of JAX: each call counts what it does, and does what it does without us."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from aimatrix import ops
from aimatrix.dialects import aten, translate
from conftest import Outcome, Watch

pytest.importorskip("jax")

PREPARE = """
import functools, os, sys, threading
import jax, jax.numpy as jnp
from jax import lax
"""


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices as a test asks for, and no accelerator."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")


def program(body: str) -> str:
    return PREPARE + textwrap.dedent(body)


def macs(outcome: Outcome, phase: str | None = None) -> int:
    """All multiply-adds, which must be known."""
    total = 0
    for count in outcome.counts:
        for raw, times in count.raw.parts or ((count.raw, 1),):
            call = translate(raw)
            found = ops.cost(call).macs
            assert found is not None, call
            if phase in (None, call.phase):
                total += found * times * count.calls
    return total


def operators(outcome: Outcome) -> Counter[str]:
    """Calls by the operators' names, of the parts of what was called."""
    calls: Counter[str] = Counter()
    for count in outcome.counts:
        for raw, times in count.raw.parts or ((count.raw, 1),):
            calls[raw.name.removeprefix("jax::")] += times * count.calls
    return calls


def test_a_convolutional_network_counts_its_layers(watch: Watch) -> None:
    outcome = watch(
        program("""
        def conv(x, w, stride=1, groups=1):
            return lax.conv_general_dilated(
                x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=groups,
            )
        @jax.jit
        def model(p, x):
            x = jax.nn.relu(conv(x, p["stem"], 2))
            x = jax.nn.relu(conv(x, p["depth"], 1, 8))
            x = x + jax.nn.relu(conv(x, p["point"]))
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            return x.mean((1, 2)) @ p["head"] + p["bias"]
        p = {"stem": jnp.ones((3, 3, 3, 8)), "depth": jnp.ones((3, 3, 1, 8)),
             "point": jnp.ones((1, 1, 8, 8)), "head": jnp.ones((8, 10)), "bias": jnp.ones(10)}
        for batch in (2, 2, 5):
            model(p, jnp.ones((batch, 16, 16, 3)))
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    each = 64 * (27 * 8 + 9 * 8 + 64) + 80
    assert macs(outcome) == (2 + 2 + 5) * each
    assert operators(outcome)["conv_general_dilated"] == 9
    assert operators(outcome)["reduce_window_max"] == 3


TRANSFORMER = """
    width, heads, length, batch = 16, 4, 6, 2
    def norm(x, g):
        m = x.mean(-1, keepdims=True)
        return (x - m) * lax.rsqrt(((x - m) ** 2).mean(-1, keepdims=True) + 1e-5) * g
    def block(p, x):
        h = norm(x, p["g1"])
        q, k, v = (jnp.reshape(h @ w, (batch, length, heads, -1)) for w in p["qkv"])
        a = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 2
        a = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((length, length))) > 0, a, -1e9))
        x = x + jnp.einsum("bhqk,bkhd->bqhd", a, v).reshape(x.shape) @ p["o"]
        return x + jax.nn.gelu(norm(x, p["g2"]) @ p["up"]) @ p["down"]
    def weights(*shape):
        return jnp.ones(shape) / 8
    p = {"g1": weights(width), "g2": weights(width), "o": weights(width, width),
         "qkv": [weights(width, width)] * 3, "up": weights(width, 64), "down": weights(64, width)}
    x = jnp.linspace(0, 1, batch * length * width).reshape(batch, length, width)
"""
#: of a pass of the block: 12 rows through its matrices, and the scores and what they weigh
BLOCK_MACS = 12 * (4 * 16 * 16 + 2 * 16 * 64) + 2 * (2 * 6 * 6 * 16)


def test_a_transformer_block_counts_its_products(watch: Watch) -> None:
    outcome = watch(program(TRANSFORMER + "    jax.jit(block)(p, x)\n    jax.jit(block)(p, x)\n"))
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert macs(outcome) == 2 * BLOCK_MACS


def test_a_training_step_counts_forward_and_backward(watch: Watch) -> None:
    outcome = watch(
        program(
            TRANSFORMER
            + """
    @functools.partial(jax.jit, donate_argnums=0)
    def step(p, x):
        loss, g = jax.value_and_grad(lambda p, x: (block(p, x) ** 2).mean(), (0, 1))(p, x)
        return jax.tree_util.tree_map(lambda a, b: a - 0.1 * b, p, g[0]), loss
    p = jax.tree_util.tree_map(jnp.array, p)
    for _ in range(5):
        p, loss = step(p, x)
    """
        )
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert macs(outcome, "forward") == 5 * BLOCK_MACS
    assert macs(outcome, "backward") == 5 * 2 * BLOCK_MACS


def test_threads_and_forked_children_are_counted_exactly(watch: Watch) -> None:
    outcome = watch(
        program("""
        f = jax.jit(lambda a: jnp.sin(a) @ a)
        xs = [jnp.ones((n, n)) for n in (2, 3)]
        def work():
            for index in range(1000):
                f(xs[index % 2])
        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads: each.start()
        for each in threads: each.join()
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert operators(outcome) == {"sin": 4000, "dot_general": 4000}
    assert macs(outcome) == 2000 * (8 + 27)


def test_a_forked_child_counts_in_files_of_its_own(watch: Watch) -> None:
    outcome = watch(
        program("""
        import warnings
        warnings.simplefilter("ignore")  # of JAX, about forks
        f = jax.jit(lambda a: a @ a)
        x = jnp.ones((2, 2))
        f(x); f(x)
        if os.fork() == 0:
            f(x); f(x); f(x)
            os._exit(0)
        os.wait()
        f(x)
        """)
    )
    assert outcome.returncode == 0
    assert operators(outcome)["dot_general"] == 6


def test_counts_outlive_a_kill(watch: Watch) -> None:
    outcome = watch(
        program("""
        f = jax.jit(lambda a: a @ a)
        for _ in range(70):
            f(jnp.ones((2, 2))).block_until_ready()
        os.kill(os.getpid(), 9)
        """)
    )
    assert outcome.returncode == -signal.SIGKILL
    assert operators(outcome)["dot_general"] == 70


#: what users do with jitted functions; prints how often their Python code ran, and what came out
USES = """
    import inspect, weakref
    ran = []
    x = jnp.linspace(-1, 1, 16).reshape(4, 4)
    def show(*values):
        print(*[v.tobytes().hex() if hasattr(v, "tobytes") else v for v in values])
    def body(a, b=1, *, k=2):
        "What it does."
        ran.append("body")
        return (a @ a) * b * k
    f = jax.jit(body)
    show(f(x), f(x), f(x, 2), f(x, 7), f(x, b=3), f(x, k=jnp.ones(())))
    g = jax.jit(body, static_argnames=("b", "k"))
    show(g(x), g(x, 3), g(x, 3), g(x, 4), g(x, b=3, k=4), g(x, 3, k=4))
    show(jax.jit(body, static_argnums=1, donate_argnums=0)(x + 0, 5))
    show(jax.jit(body, donate_argnums=0)(x + 1))
    @functools.partial(jax.jit, static_argnums=(1,))
    def q(a, m):
        ran.append("q")
        return a * m
    show(q(x, 3), q(x, 3), q(x, 4))
    @jax.jit(static_argnames="m")
    def r(a, m):
        ran.append("r")
        return a * m
    show(r(x, m=3))
    class Model:
        @functools.partial(jax.jit, static_argnums=0)
        def forward(self, a):
            ran.append("forward")
            return a @ a
        def other(self, a):
            ran.append("other")
            return a + 1
    model = Model()
    show(model.forward(x), model.forward(x), Model.forward(model, x), jax.jit(model.other)(x))
    loss = lambda v: f(v).sum()
    show(jax.grad(loss)(x), jax.jit(jax.grad(loss))(x), jax.vmap(f)(jnp.stack([x, x])))
    show(jax.jit(jax.vmap(f))(jnp.stack([x, x])), jax.jit(f)(x), jax.jit(jax.jit(body))(x))
    show(jax.jvp(f, (x,), (x,))[1], jax.checkpoint(f)(x))
    show(lax.scan(lambda c, _: (f(c), None), x, None, length=3)[0])
    show(jax.make_jaxpr(f)(x), jax.eval_shape(f, x), f.eval_shape(x), f.trace(x).jaxpr)
    show(jax.jit(lambda: f(x))(), jax.vmap(lambda y: y + f(x).sum())(jnp.ones(3)))
    from jax import export
    show(export.export(f)(x).call(x))
    compiled = f.lower(x).compile()
    show(compiled(x), f.trace(x).lower().compile()(x), f.lower(x).as_text())
    f.thing = 3
    show(f.thing, f.__name__, f.__qualname__, f.__module__, f.__doc__, f.__wrapped__ is body)
    show(inspect.signature(f), inspect.signature(jax.jit), callable(f), jax.jit is jax.jit)
    show(isinstance(f, jax.stages.Wrapped), isinstance(f, type(lax.erf)), f == f, f != g)
    show(weakref.ref(f)() is f, hash(f) == hash(f), functools.wraps(f)(lambda a: a).__name__)
    show(type(f).__name__ in ("PjitFunction", "CountedFunction"), "jit" in jax.jit.__name__)
    f.clear_cache(); show(f(x))
    jax.clear_caches(); show(f(x))
    with jax.disable_jit():
        show(f(x), f(jnp.ones((3, 3))))
    import numpy as np
    show(f(np.ones((4, 4), np.float32)), f(np.ones((4, 4), np.float32), 2.5))
    for wrong in (lambda a: 1 / 0, lambda a: a @ jnp.ones(9)):
        try:
            jax.jit(wrong)(x)
        except Exception as error:
            show(type(error).__name__, error)
    show(jax.jit(lambda k: jax.random.normal(k, (3,)))(jax.random.key(0)))
    show(ran)
"""


def test_functions_do_what_they_do_without_us(watch: Watch, tmp_path: Path) -> None:
    outcome = watch(program(textwrap.dedent(USES)))
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, check=True
    )
    assert outcome.stdout == plain.stdout
    assert (outcome.returncode, outcome.stderr) == (0, plain.stderr)


def test_functions_inside_others_count_as_their_parts(watch: Watch) -> None:
    outcome = watch(
        program("""
        x = jnp.ones((4, 4))
        f = jax.jit(lambda a: a @ a)
        jax.jit(lambda a: f(f(a)))(x)  # 2
        jax.jit(lambda: f(x))()  # 1
        jax.jit(jax.vmap(f))(jnp.ones((3, 4, 4)))  # a batch of 3
        jax.jit(lambda a: lax.scan(lambda c, _: (f(c), None), a, None, length=5)[0])(x)  # 5
        jax.eval_shape(f, x), jax.make_jaxpr(f)(x)  # none
        jax.vmap(lambda y: y + f(x).sum())(jnp.ones(3))  # 1: nothing in it is mapped
        compiled = f.lower(x).compile()
        compiled(x), compiled(x)  # 2
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert macs(outcome) == (2 + 1 + 3 + 5 + 1 + 2) * 64


def test_what_is_transformed_outside_of_a_function_is_unknown(watch: Watch) -> None:
    outcome = watch(
        program("""
        f = jax.jit(lambda a: (a @ a).sum())
        jax.grad(f)(jnp.ones((4, 4)))
        jax.vmap(f)(jnp.ones((3, 4, 4)))
        """)
    )
    (count,) = outcome.counts
    assert (count.raw.name, count.raw.parts, count.calls) == ("jax::jit", (), 2)
    assert translate(count.raw).family == "unknown"


def test_signatures_are_told_from_each_other(watch: Watch) -> None:
    outcome = watch(
        program("""
        f = jax.jit(lambda a, n=0: a @ a, static_argnums=1)
        for _ in range(3):
            f(jnp.ones((2, 2)))
        for _ in range(3):
            f(jnp.ones((3, 3)))
            f(jnp.ones((2, 2)))
        jax.clear_caches()
        f(jnp.ones((5, 5)))
        f.clear_cache()
        f(jnp.ones((7, 7)))
        for index in range(50):  # a function each time, but always the same work
            jax.jit(lambda a: a @ a)(jnp.ones((2, 2)))
        f = jax.jit(lambda: jnp.arange(4.0).sum())
        f(), f()
        jax.config.update("jax_enable_x64", True)
        f()
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert macs(outcome) == 56 * 8 + 3 * 27 + 125 + 343
    assert len([count for count in outcome.counts if "dot_general" in str(count.raw.parts)]) == 4
    sums = Counter()
    for count in outcome.counts:
        for raw, _ in count.raw.parts:
            if raw.name == "jax::reduce_sum":
                sums[translate(raw).dtype] += count.calls
    assert sums == {"float32": 2, "float64": 1}


def test_devices_of_a_mesh_count_each(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    outcome = watch(
        program("""
        from jax.sharding import Mesh, PartitionSpec as P
        import numpy as np
        mesh = Mesh(np.array(jax.devices()), ("rows",))
        local = lambda a: lax.psum(a @ a.T, "rows")
        f = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=P(None, "rows"), out_specs=P()))
        f(jnp.ones((3, 8)))
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert macs(outcome) == 3 * 3 * 8
    calls = [translate(raw) for count in outcome.counts for raw, _ in count.raw.parts]
    (reduced,) = [call for call in calls if call.family == "collective"]
    assert (reduced.kind, reduced["group_size"]) == ("all_reduce", 4)


def test_large_functions_are_described_whole(watch: Watch) -> None:
    outcome = watch(
        program("""
        @jax.jit
        def f(x):
            for size in range(1, 1500):
                x = x + jnp.ones((size,)).sum()
            return x
        jax.jit(lambda x: 2 * x)(1.0)
        f.lower(1.0)
        compiled = jax.jit(lambda x: x)  # f itself would take long to compile
        from _aimatrix_agent import jaxpr
        counter = object.__getattribute__(f, "_counter")
        counter.add(counter.number_of(counter.describe(lambda: f.trace(1.0).jaxpr, [], ())))
        """)
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert operators(outcome)["reduce_sum"] == 1499


def test_a_function_that_cannot_be_listed_counts_as_unknown(watch: Watch) -> None:
    outcome = watch(
        program("""
        from _aimatrix_agent import jaxpr
        jaxpr.KEPT = None
        f = jax.jit(lambda a: a @ a)
        for _ in range(3):
            print(f(jnp.ones((2, 2))).sum())
        """)
    )
    assert (outcome.returncode, outcome.stdout) == (0, "8.0\n" * 3)
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("aimatrix: a jitted function is counted without its operators")
    (count,) = outcome.counts
    assert (count.calls, translate(count.raw).family) == (3, "unknown")
    assert translate(count.raw)["inputs"] == ((2, 2),)


def test_a_count_that_fails_leaves_the_application_alone(watch: Watch) -> None:
    outcome = watch(
        program("""
        f = jax.jit(lambda a: a @ a)
        object.__getattribute__(f, "_counter")._tally._folder = "/no/such/folder"
        for _ in range(3):
            print(f(jnp.ones((2, 2))).sum())
        """)
    )
    assert (outcome.returncode, outcome.stdout) == (0, "8.0\n" * 3)
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("aimatrix: jitted functions are counted no longer")
    assert outcome.counts == []


def test_an_exception_of_a_signal_handler_reaches_the_application(watch: Watch) -> None:
    outcome = watch(
        program("""
        import signal
        class Late(Exception):
            pass
        def alarm(*_):
            raise Late
        signal.signal(signal.SIGALRM, alarm)
        f = jax.jit(lambda a: a @ a)
        x = jnp.ones((2, 2))
        f(x)
        late = 0
        for _ in range(50):
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            try:
                while True:
                    f(x)
            except Late:
                late += 1
        print(late)
        """)
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "50\n", "")


def test_systems_of_equations_count_as_what_solves_them(watch: Watch) -> None:
    outcome = watch("""
        import jax, jax.numpy as jnp
        f = jax.jit(lambda a, b: (jnp.linalg.solve(a, b), jnp.linalg.svd(a, compute_uv=False)))
        f(2 * jnp.eye(8), jnp.ones((8, 3)))
    """)
    calls = [translate(raw) for count in outcome.counts for raw, _ in count.raw.parts]
    assert not [call for call in calls if call.family == "unknown"]
    found = {call.kind: call["rhs"] for call in calls if call.family == "linear_algebra"}
    assert found == {"lu": 0, "triangular_solve": 3, "svdvals": 0}


def test_jax_is_not_imported_by_us(watch: Watch) -> None:
    outcome = watch("""
        import sys, torch
        print([name for name in sys.modules if name.partition(".")[0] in ("jax", "jaxlib")])
    """)
    assert outcome.stdout == "[]\n"


def test_a_keras_model_counts_the_same_on_torch_and_jax(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others do in `benchmarks/keras_backends.py`; a picture of 33 has paddings that are uneven."""
    if find_spec("keras") is None or find_spec("torch") is None:
        pytest.skip("needs keras and torch")
    monkeypatch.setenv("KERAS_TORCH_DEVICE", "cpu")
    # what it computes is no matter here, and to optimize that takes most of the time
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    found = {}
    for backend in ("torch", "jax"):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        outcome = watch(
            """
            import numpy as np, keras
            model = keras.applications.MobileNetV2(
                weights=None, input_shape=(33, 33, 3), classes=10
            )
            model.predict(np.ones((1, 33, 33, 3)), verbose=0)
            """,
            attributes=aten.ATTRIBUTES,
        )
        assert outcome.returncode == 0
        found[backend] = convolutions(outcome), macs(outcome)
    assert found["torch"] == found["jax"]
    assert found["jax"][1] > 10**6


def convolutions(outcome: Outcome) -> Counter[str]:
    """Convolutions by signature. PyTorch adds the bias in the same operator, JAX in another one."""
    calls: Counter[str] = Counter()
    for count in outcome.counts:
        for raw, times in count.raw.parts or ((count.raw, 1),):
            call = translate(raw)
            if call.family == "convolution":
                calls[call.replace(bias=False).attributes_json()] += times * count.calls
    return calls
