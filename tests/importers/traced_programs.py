"""Programs that record themselves: ``python traced_programs.py FOLDER NAME...``.

Each of the named ones is made and run inside of both of torch's tracers, which write
FOLDER/NAME.et.json and FOLDER/NAME.kineto.json.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.profiler import ExecutionTraceObserver, ProfilerActivity, profile


class Residual(nn.Module):
    """A block of grouped and of strided convolutions, with a way around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.grouped = nn.Conv2d(outputs, outputs, 3, padding="same", groups=4)
        self.even = nn.Conv2d(outputs, outputs, (4, 1), padding="same", dilation=1)
        self.plain = nn.Conv2d(outputs, outputs, 3, padding="valid")
        self.around = nn.Conv2d(inputs, outputs, 1, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grown = self.even(self.grouped(functional.relu(self.norm(self.first(x)))))
        narrow = functional.pad(self.plain(grown), (1, 1, 1, 1))
        return functional.relu(narrow + self.around(x))


def network() -> nn.Module:
    return nn.Sequential(
        Residual(3, 16),
        Residual(16, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def train(loss: Callable[[], torch.Tensor], optimizer: Any, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def cnn_inference() -> None:
    model = network().eval()
    with torch.inference_mode():
        for _ in range(3):
            model(torch.randn(2, 3, 32, 32)).softmax(1)


def cnn_training(**options: Any) -> None:
    model, image, label = network(), torch.randn(4, 3, 32, 32), torch.randint(10, (4,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **options)
    train(lambda: functional.cross_entropy(model(image), label), optimizer, 2)


def cnn_training_foreach() -> None:
    cnn_training(foreach=True)


def cnn_training_fused() -> None:
    cnn_training(fused=True)


def sgd_with_momentum() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    train(lambda: model(torch.randn(5, 8)).pow(2).mean(), optimizer, 3)


def optimizer_with_closure() -> None:
    """The closure computes gradients inside of the optimizer's step."""
    model = nn.Linear(8, 4)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(5, 8)).pow(2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)


def autocast() -> None:
    model, image, label = network(), torch.randn(4, 3, 32, 32), torch.randint(10, (4,))
    optimizer = torch.optim.AdamW(model.parameters())

    def loss() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return functional.cross_entropy(model(image), label)

    train(loss, optimizer, 2)


def lstm() -> None:
    model = nn.LSTM(12, 16, num_layers=2, bidirectional=True, batch_first=True)
    head = nn.Linear(32, 3)
    optimizer = torch.optim.RMSprop([*model.parameters(), *head.parameters()])
    train(lambda: head(model(torch.randn(4, 7, 12))[0]).mean(), optimizer, 2)
    with torch.no_grad():
        nn.GRU(12, 16)(torch.randn(7, 4, 12))
        nn.LSTMCell(12, 16)(torch.randn(4, 12))


def embedding_bag() -> None:
    bag, table = nn.EmbeddingBag(50, 8, mode="sum"), nn.Embedding(30, 8)
    rows, offsets = torch.arange(20), torch.tensor([0, 5, 12])
    optimizer = torch.optim.Adagrad([*bag.parameters(), *table.parameters()])

    def loss() -> torch.Tensor:
        return torch.cat([bag(rows, offsets), table(torch.tensor([1, 2, 3]))]).sum()

    train(loss, optimizer, 2)


def attention() -> None:
    queries = torch.randn(2, 4, 10, 8, requires_grad=True)
    mask = torch.ones(10, 10, dtype=torch.bool).tril()
    functional.scaled_dot_product_attention(queries, queries, queries, is_causal=True)
    masked = functional.scaled_dot_product_attention(queries, queries, queries, attn_mask=mask)
    masked.sum().backward()
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    layer(torch.randn(2, 6, 16)).sum().backward()
    with torch.inference_mode():
        layer.eval()(torch.randn(2, 6, 16))


def quantized() -> None:
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    small(torch.randn(3, 16))
    whole = torch.quantize_per_tensor(torch.randn(3, 16), 0.1, 10, torch.quint8)
    whole.dequantize().to(torch.int8).sum()


def fourier() -> None:
    signal = torch.randn(3, 32)
    torch.fft.irfft(torch.fft.rfft(signal), n=32)
    torch.fft.fft2(torch.randn(2, 8, 8, dtype=torch.complex64)).abs()
    torch.stft(signal, 16, hop_length=4, window=torch.hann_window(16), return_complex=True)
    torch.fft.fftn(torch.randn(2, 4, 4), dim=(1, 2))


def resampling() -> None:
    image = torch.randn(1, 3, 9, 9)
    functional.interpolate(image, scale_factor=1 / 3, mode="bilinear")
    functional.interpolate(image, size=(5, 7), mode="nearest")
    functional.interpolate(image, scale_factor=2.5, mode="bicubic", antialias=True)
    functional.max_pool2d(image, 3, stride=2, padding=1, ceil_mode=True)
    functional.grid_sample(image, torch.rand(1, 4, 4, 2), align_corners=False)


def reductions() -> None:
    values = torch.randn(6, 20)
    values.sum()
    values.sum(1, keepdim=True)
    values.mean((0, 1))
    values.amax(())
    values.topk(3)
    values.sort(0)
    values.argmax()
    values.var(1)
    values.max(dim=1)
    values.cumsum(1)
    torch.cdist(values, values, p=2.0)
    torch.linalg.vector_norm(values)
    torch.stack([values, values], 1)
    torch.cat([values.bfloat16(), values.bfloat16()], 0)
    torch.split(values, 5, dim=1)


def scattering() -> None:
    values, rows = torch.randn(6, 20), torch.tensor([1, 3])
    values.gather(0, torch.zeros(2, 20, dtype=torch.int64))
    values.scatter(0, torch.zeros(2, 20, dtype=torch.int64), 1.0)
    values.index_select(0, rows)
    values.scatter_add(0, torch.zeros(6, 20, dtype=torch.int64), values)
    torch.where(values > 0, values, 0.0)


def indexing() -> None:
    values, rows = torch.randn(6, 20), torch.tensor([1, 3])
    values[rows]
    values[:, rows]
    values[values > 0]
    values[rows] = 0.0
    values[None, ..., 3]


def contractions() -> None:
    torch.einsum("bij,bjk->bik", torch.randn(2, 3, 4), torch.randn(2, 4, 5))
    torch.einsum("i,j->ij", torch.randn(3), torch.randn(4))
    torch.einsum("bhqd,bhkd->bhqk", torch.randn(2, 2, 3, 4), torch.randn(2, 2, 5, 4))


def long_lists() -> None:
    """More tensors in a list than torch.profiler tells."""
    model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(20)))
    for options in ({"foreach": True}, {"fused": True}, {"fused": True, "amsgrad": True}):
        optimizer = torch.optim.Adam(model.parameters(), **options)
        train(lambda: model(torch.randn(2, 6)).sum(), optimizer, 2)


def custom_operator() -> None:
    """An operator that Python registers, and marks that are none."""

    @torch.library.custom_op("tracedprograms::twice", mutates_args=())
    def twice(x: torch.Tensor, times: int) -> torch.Tensor:
        return x * 2

    with torch.profiler.record_function("## forward ##"), torch.no_grad():
        torch.ops.tracedprograms.twice(torch.randn(3, 4), 7)
    with torch.profiler.record_function("mylib::step"):
        torch.relu(torch.randn(4))
    torch.empty(4, 4, device="meta") @ torch.empty(4, 4, device="meta")


def checkpointed() -> None:
    """A forward pass that the backward pass runs again."""
    from torch.utils.checkpoint import checkpoint

    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8))
    x = torch.randn(3, 6, requires_grad=True)
    checkpoint(model, x, use_reentrant=False).sum().backward()
    torch.relu(x)


def bert() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        vocab_size=100,
        max_position_embeddings=32,
    )
    model = BertForSequenceClassification(config)
    words, labels = torch.randint(100, (2, 12)), torch.tensor([0, 1])
    optimizer = torch.optim.AdamW(model.parameters())
    train(lambda: model(words, labels=labels).loss, optimizer, 2)
    with torch.inference_mode():
        model.eval()(words, attention_mask=torch.ones(2, 12, dtype=torch.int64))


def gpt2() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100, n_positions=32)
    model = GPT2LMHeadModel(config)
    words = torch.randint(100, (2, 12))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    train(lambda: model(words, labels=words).loss, optimizer, 1)
    model.eval().generate(words, max_new_tokens=3, do_sample=False, pad_token_id=0)


class Midway:
    """Some steps of a training that had begun before."""

    def __init__(self, steps: int) -> None:
        self.model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.inputs = torch.ones(5, 8)
        self.steps = steps
        self._train(2)

    def __call__(self) -> None:
        self._train(self.steps)

    def _train(self, steps: int) -> None:
        train(lambda: self.model(self.inputs).pow(2).mean(), self.optimizer, steps)


#: name -> what has to be there before the recording begins
BEGUN = {"one_step_midway": lambda: Midway(1), "three_steps_midway": lambda: Midway(3)}


def trace(name: str, folder: Path) -> None:
    run = BEGUN[name]() if name in BEGUN else globals()[name]
    observer = ExecutionTraceObserver()
    observer.register_callback(str(folder / f"{name}.et.json"))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        observer.start()
        run()
        observer.stop()
    observer.unregister_callback()
    profiler.export_chrome_trace(str(folder / f"{name}.kineto.json"))


def main(folder: Path, names: Iterable[str]) -> None:
    torch.manual_seed(0)
    # what a kernel calls in threads of its own a monitor counts, and torch.profiler does not see
    torch.set_num_threads(1)
    for name in names:
        trace(name, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
