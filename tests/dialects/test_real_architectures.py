"""Whole architectures, in inference and in training: every operator is known, all MACs are exact.

What torch's own counter of operations counts right is compared with it; what it is blind to (LSTMs,
fused attention, transforms) with formulas written by hand.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import pytest

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.model.calls import OpCall
from aimatrix.monitoring import record_calls
from aimatrix.monitoring.in_process import record_application

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

# libraries warn of what they will change, torch of layers that it has no faster form of
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The models are small: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def of_inference(function: Callable[..., Any], *inputs: Any) -> list[OpCall]:
    return [translate(raw) for raw in record_application(function, inputs, ATTRIBUTES).calls]


def of_training(module: Any, run: Callable[[], Any]) -> list[OpCall]:
    """The calls of one step: forward, backward and optimizer."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        sum(item.float().mean() for item in floats(run())).backward()
        optimizer.step()

    return [translate(raw) for raw in record_calls(step, ATTRIBUTES)]


def floats(value: Any) -> Iterator[Any]:
    """All tensors in ``value`` that have gradients."""
    if isinstance(value, torch.Tensor):
        if value.requires_grad:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from floats(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from floats(item)


def macs(calls: list[OpCall], phase: str | None = None) -> int:
    return sum(ops.cost(call).macs or 0 for call in calls if phase in (None, call.phase))


def unknown(calls: list[OpCall]) -> set[str]:
    return {call.kind for call in calls if call.family == "unknown"}


class LanguageModel(nn.Module):
    """Words through an LSTM."""

    def __init__(self, words: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=0.1)
        self.head = nn.Linear(width, words)

    def forward(self, tokens: Any) -> Any:
        hidden, _ = self.lstm(self.embedding(tokens))
        return F.cross_entropy(self.head(hidden[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


class Decoder(nn.Module):
    """A block as decoders have it today: RMS norm, rotated grouped queries, gated perceptron."""

    def __init__(self, width: int, heads: int, kv_heads: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.features = heads, kv_heads, width // heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * kv_heads * self.features, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)
        self.before, self.between = nn.RMSNorm(width), nn.RMSNorm(width)

    def forward(self, x: Any, cache: Any = None) -> Any:
        normal = self.before(x)
        query = self.split(self.query(normal), self.heads)
        key, value = self.key_value(normal).chunk(2, -1)
        key, value = self.split(key, self.kv_heads), self.split(value, self.kv_heads)
        query, key = self.rotate(query), self.rotate(key)
        if cache is not None:
            key, value = torch.cat([cache[0], key], 2), torch.cat([cache[1], value], 2)
        mixed = F.scaled_dot_product_attention(
            query, key, value, is_causal=cache is None, enable_gqa=True
        )
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        normal = self.between(x)
        return x + self.down(F.silu(self.gate(normal)) * self.up(normal)), (key, value)

    def split(self, x: Any, heads: int) -> Any:
        return x.unflatten(-1, (heads, self.features)).transpose(1, 2)

    def rotate(self, x: Any) -> Any:
        angles = torch.outer(torch.arange(x.shape[2]).float(), torch.arange(x.shape[3] // 2) / 8)
        turned = torch.cat([-x[..., x.shape[3] // 2 :], x[..., : x.shape[3] // 2]], -1)
        return x * torch.cat([angles.cos()] * 2, -1) + turned * torch.cat([angles.sin()] * 2, -1)


class Experts(nn.Module):
    """A mixture of experts: each token goes through the two that a router likes best."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
            for _ in range(experts)
        )

    def forward(self, x: Any) -> Any:
        weights, chosen = self.router(x).softmax(-1).topk(2, -1)
        output = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows, places = (chosen == index).nonzero(as_tuple=True)
            output.index_add_(0, rows, expert(x[rows]) * weights[rows, places, None])
        return output


class Spectrogram(nn.Module):
    """Sound as a spectrum over time, then convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3, 2)
        )

    def forward(self, sound: Any) -> Any:
        spectrum = torch.stft(sound, 16, 4, window=torch.hann_window(16), return_complex=True)
        return self.layers(spectrum.abs().log1p()[:, None]).mean((2, 3))


class Filtering(nn.Module):
    """Collaborative filtering by a bilinear form of two embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(30, 6), nn.Embedding(40, 8)
        self.form = nn.Bilinear(6, 8, 1)

    def forward(self, users: Any, items: Any) -> Any:
        return torch.sigmoid(self.form(self.users(users), self.items(items)))


class Block(nn.Module):
    """Of MobileNet: wider, depthwise, squeezed and excited, narrower, and added."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.Hardswish(),
            nn.Conv2d(wide, wide, 5, padding=2, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.Hardswish(),
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(wide, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, wide, 1),
            nn.Hardsigmoid(),
        )
        self.narrow = nn.Conv2d(wide, channels, 1, bias=False)

    def forward(self, x: Any) -> Any:
        wide = self.layers(x)
        return x + self.narrow(wide * self.squeeze(wide))


class Pyramid(nn.Module):
    """Features of two resolutions, the coarse ones enlarged and added."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, padding=1)
        self.head = nn.ConvTranspose2d(8, 2, 2, 2)

    def forward(self, x: Any) -> Any:
        fine = F.leaky_relu(self.fine(x))
        enlarged = F.interpolate(F.elu(self.coarse(fine)), scale_factor=2.0, mode="bilinear")
        return self.head(F.dropout2d(fine + enlarged, 0.1, self.training))


TOKENS = torch.arange(24).reshape(3, 8)
WORDS, WIDTH = 30, 16

#: name -> (the model, its inputs, multiply-adds of an inference)
OWN: dict[str, tuple[Callable[[], Any], tuple[Any, ...], int]] = {
    "LSTM language model": (
        lambda: LanguageModel(WORDS, WIDTH, 2),
        (TOKENS,),
        # two layers of four gates on inputs and states; words for all but the last token
        24 * 2 * 4 * WIDTH * 2 * WIDTH + 21 * WIDTH * WORDS,
    ),
    "decoder": (
        lambda: Decoder(32, 4, 2, 48),
        (torch.rand(2, 7, 32),),
        # query and output, keys and values of half as many heads; scores and their use; perceptron
        14 * (2 * 32 * 32 + 32 * 32 + 2 * 7 * 32 + 3 * 32 * 48),
    ),
    "mixture of experts": (
        lambda: Experts(16, 32, 4),
        (torch.rand(12, 16),),
        12 * 16 * 4 + 2 * 12 * 2 * 16 * 32,
    ),
    "spectrogram": (
        Spectrogram,
        (torch.rand(2, 64),),
        # 17 transforms of 16 real points; 9 x 17 places, then 4 x 8
        2 * (17 * 80 + 9 * 17 * 4 * 9 + 4 * 8 * 2 * 4 * 9),
    ),
    "collaborative filtering": (
        Filtering,
        (torch.arange(5), torch.arange(5)),
        5 * (6 * 8 + 8),
    ),
    "inverted residual": (
        lambda: Block(8, 24),
        (torch.rand(2, 8, 9, 9),),
        2 * (81 * (2 * 8 * 24 + 24 * 25) + 2 * 24 * 4),
    ),
    "pyramid": (
        Pyramid,
        (torch.rand(1, 3, 16, 16),),
        256 * 8 * 3 * 9 + 64 * 8 * 8 * 9 + 256 * 8 * 2 * 4,
    ),
    "translation": (
        lambda: nn.Transformer(16, 4, 2, 2, 32, batch_first=True),
        (torch.rand(2, 7, 16), torch.rand(2, 5, 16)),
        # encoder: four projections, attention, perceptron; decoder: attention to itself and across
        2 * 2 * 7 * (4 * 256 + 2 * 7 * 16 + 2 * 16 * 32)
        + 2 * 2 * 5 * (4 * 256 + 2 * 5 * 16 + 2 * 16 * 32)
        + 2 * 2 * (5 * 2 * 256 + 7 * 2 * 256 + 2 * 5 * 7 * 16),
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_an_inference_is_known_and_its_macs_are_those_worked_out(name: str) -> None:
    make, inputs, expected = OWN[name]
    calls = of_inference(make(), *inputs)
    assert unknown(calls) == set()
    assert macs(calls) == expected


@pytest.mark.parametrize("name", OWN)
def test_a_training_step_is_known_and_forward_does_the_same_macs(name: str) -> None:
    make, inputs, expected = OWN[name]
    model = make().train()
    calls = of_training(model, lambda: model(*inputs))
    assert unknown(calls) == set()
    assert macs(calls, "forward") == expected
    # two gradients of each product; more where it is of three tensors, or attention
    assert expected < macs(calls, "backward") < 4 * expected
    assert macs(calls, "optimizer") == 0
    assert any(call.phase == "optimizer" for call in calls)


def test_decoding_with_a_cache_attends_to_all_that_came_before() -> None:
    model = Decoder(32, 4, 2, 48)
    cache = tuple(torch.rand(1, 2, 20, 8) for _ in range(2))
    calls = of_inference(model, torch.rand(1, 1, 32), cache)
    [attention] = [call for call in calls if call.family == "attention"]
    assert [attention[name] for name in ("heads", "kv_heads", "query_len", "key_len")] == [
        4,
        2,
        1,
        21,
    ]
    assert macs(calls) == 3 * 32 * 32 + 2 * 21 * 32 + 3 * 32 * 48


def test_gradients_of_fused_attention_have_one_product_more_than_those_of_its_parts() -> None:
    model, x = Decoder(32, 4, 4, 48), torch.rand(2, 7, 32)
    fused = of_training(model, lambda: model(x))
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        parts = of_training(model, lambda: model(x))
    assert macs(parts, "forward") == macs(fused, "forward")
    assert macs(fused, "backward") - macs(parts, "backward") == 2 * 7 * 7 * 32


def _transformers() -> list[str]:
    if importlib.util.find_spec("transformers") is None:
        return []
    return list(_makers())


def _makers() -> dict[str, Callable[[], Any]]:
    module = importlib.import_module("monitoring.architectures.transformers_models")
    return module.MAKERS  # type: ignore[no-any-return]


def conv_backward_flops(
    gradient: Any, x: Any, weight: Any, *more: Any, out_shape: Any = None
) -> int:
    """torch's own formula counts the weights' gradient once for each group."""
    *_, transposed, _, _, wanted = more
    places = prod(x if transposed else gradient)
    return int(2 * places * prod(weight[1:]) * sum(wanted[:2]))


def grouped_flops(a: Any, b: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """A product of each row with the weights of its expert, which torch has no formula for."""
    return int(2 * prod(a) * b[-1])


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
@pytest.mark.parametrize("name", _transformers())
def test_a_training_step_of_transformers_has_the_macs_that_torch_counts(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    function, inputs = _makers()[name]()
    model = getattr(function, "__self__", function).train()
    model.set_attn_implementation("eager")  # torch's counter is blind to fused attention here
    inputs = {{"inputs": "input_ids"}.get(key, key): value for key, value in inputs.items()}
    inputs = {key: value for key, value in inputs.items() if isinstance(value, torch.Tensor)}

    def run() -> Any:
        torch.manual_seed(0)  # some drop whole layers by chance
        return dict(model(**inputs))

    calls = of_training(model, run)
    formulas = {
        torch.ops.aten.convolution_backward: conv_backward_flops,
        torch.ops.aten._grouped_mm: grouped_flops,
    }
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        sum(item.float().mean() for item in floats(run())).backward()
    assert unknown(calls) == set()
    assert macs(calls) == counter.get_total_flops() // 2
