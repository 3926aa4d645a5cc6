"""Validation from outside: one process per platform, its applications and its crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.result import Platform, Validation
from aimatrix.store import documents
from aimatrix.validation import Suite, load_suite, parse_platform, validate

APPS = """
import os
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.third = torch.nn.Conv2d(8, 4, 2, stride=2)

    def forward(self, x):
        return self.third(self.second(self.first(x)).relu())

def net():
    print("applications may print")
    return Net().eval(), (torch.rand(1, 3, 32, 32),)

def function():
    net = Net().eval()
    return (lambda x: net(x)), (torch.rand(1, 3, 32, 32),)

def die():
    os.write(2, b"a framework tore the process down\\n")
    os._exit(41)

def killed():
    os.kill(os.getpid(), 9)

def die_in_the_second_process():
    mark = __file__ + ".mark"
    if os.path.exists(mark + "1") and not os.path.exists(mark + "2"):
        open(mark + "2", "w").close()
        os.abort()
    open(mark + "1", "w").close()
    return net()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    (tmp_path / "worker_apps.py").write_text(APPS, encoding="utf-8")
    return tmp_path


def suite(folder: Path, *functions: str) -> Suite:
    text = "".join(
        f'[[applications]]\nname = "{name}"\nentry = "worker_apps:{name}"\n' for name in functions
    )
    (folder / "suite.toml").write_text(text, encoding="utf-8")
    return load_suite(folder / "suite.toml")


def test_measures_each_platform_and_leaves_out_what_it_cannot_run(
    folder: Path, small_benchmark: Benchmark, capfd: pytest.CaptureFixture[str]
) -> None:
    platforms = [parse_platform("torch:float32:1"), parse_platform("torch:bfloat16:1:abacus")]
    seen: list[Platform] = []
    validation = validate(
        small_benchmark,
        suite(folder, "net", "function"),
        platforms,
        time_limit=0.3,
        progress=seen.append,
    )
    assert seen == platforms
    torch, abacus = validation.platforms
    assert torch.platform == platforms[0]
    assert torch.environment["threads"] == "1"
    assert torch.whole is not None
    assert torch.convolutions is not None
    # 32 and 16 x 16 inputs: nearest to the centers 33 and 16
    assert [row.name for row in torch.groups] == ["group 1", "group 2"]
    assert [item.name for item in torch.left_out] == ["group 3", "group 4"]
    assert abacus.whole is None
    assert "abacus" in abacus.left_out[0].reason
    assert capfd.readouterr().out == ""
    documents.save(validation, folder / "validation.json")
    assert documents.load(Validation, folder / "validation.json") == validation


@pytest.mark.parametrize(
    ("function", "cause", "words"),
    [
        ("die", "exit code 41", "a framework tore the process down"),
        ("killed", "SIGKILL", "(it wrote nothing)"),
    ],
)
def test_a_worker_that_dies_leaves_its_platform_out_with_its_last_words(
    folder: Path, small_benchmark: Benchmark, function: str, cause: str, words: str
) -> None:
    validation = validate(small_benchmark, suite(folder, function), [parse_platform("null::1")])
    (dead,) = validation.platforms
    assert not dead.compared
    assert [(item.name, item.reason) for item in dead.left_out] == [
        (
            "null, float32, 1 thread",
            f"the process that measured it died ({cause}); its last words: {words}",
        )
    ]


def test_the_other_platforms_go_on_without_a_dead_worker(
    folder: Path, small_benchmark: Benchmark
) -> None:
    platforms = [parse_platform(f"null::{threads}") for threads in (1, 2, 3)]
    applications = suite(folder, "die_in_the_second_process")
    validation = validate(small_benchmark, applications, platforms, time_limit=0.1)
    assert "SIGABRT" in validation.platforms[1].left_out[0].reason
    assert [fidelity.compared for fidelity in validation.platforms] == [True, False, True]


def test_a_mistake_in_the_suite_is_a_mistake_of_use(
    folder: Path, small_benchmark: Benchmark
) -> None:
    with pytest.raises(InputError, match=r"application .none.: field entry: .*no function 'none'"):
        validate(small_benchmark, suite(folder, "none"), [parse_platform("null")])


def test_a_plain_function_cannot_change_its_dtype(folder: Path, small_benchmark: Benchmark) -> None:
    validation = validate(
        small_benchmark,
        suite(folder, "function"),
        [parse_platform("torch:bfloat16:1")],
        time_limit=0.1,
    )
    (platform,) = validation.platforms
    assert platform.whole is None
    assert "not a torch.nn.Module" in platform.left_out[0].reason
    assert platform.convolutions is not None
