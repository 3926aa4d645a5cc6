"""Imports point one way along the pipeline, and frameworks stay in their adapters."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aimatrix

ROOT = Path(aimatrix.__file__).parent
LAYERS = (
    {"errors", "version"},
    {"model", "reference"},
    {"ops"},
    {"dialects"},
    {"store", "monitoring", "analysis", "benchmark"},
    {"importers", "backends"},
    {"synthesis", "runner"},
    {"validation", "reporting"},
    {"api"},
    {"cli"},
    {"__main__"},
)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
FRAMEWORKS = {
    *("torch", "torchvision", "torchaudio", "jax"),
    *("onnx", "onnxruntime", "onnxscript", "openvino"),
}
ADAPTERS = {"monitoring", "importers", "backends", "applications"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, by its absolute name."""
    package = ("aimatrix", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*base, *(node.module or "").split("."))).strip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def edges() -> Iterator[tuple[Path, str, str]]:
    """(file, its package, what it imports) over the whole source."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT).with_suffix("").parts
        for name in imports(path):
            yield path, inside[0], name


def may_import(package: str, name: str) -> bool:
    if name == "aimatrix":  # the root alone, which loads the version and nothing else
        return True
    imported = name.split(".")[1]
    if package == "__init__":
        return imported in ("version", "api")
    if package == "applications":
        return False
    return imported == package or RANK.get(imported, len(LAYERS)) < RANK.get(package, -1)


def test_every_package_has_its_layer() -> None:
    packages = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    packages -= {"__init__", "__pycache__", "applications", "py"}
    assert packages <= set(RANK)


def test_imports_go_towards_earlier_layers() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, package, name in edges()
        if name.split(".")[0] == "aimatrix" and not may_import(package, name)
    ]
    assert wrong == []


def test_frameworks_are_imported_in_their_adapters_alone() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, package, name in edges()
        if name.split(".")[0] in FRAMEWORKS and package not in ADAPTERS
    ]
    assert wrong == []


def test_the_command_line_starts_without_a_framework() -> None:
    program = (
        "import importlib.util, sys\n"
        "import aimatrix\n"
        "import aimatrix.cli.app\n"
        f"print(*sorted(set(sys.modules) & {FRAMEWORKS!r}))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stdout.strip()) == (0, ""), found.stderr
