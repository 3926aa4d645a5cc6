"""The native library is there when it can be had, is never a danger, and its lack has a reason."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aimatrix.monitoring.agent import library
from aimatrix.monitoring.native import (
    Library,
    State,
    Unavailable,
    cache_folder,
    diagnose,
    digest,
    ensure,
    known_program,
    provision,
    self_test,
)
from aimatrix.monitoring.native.cache import BuildError
from aimatrix.monitoring.native.interpreter import find_interpreter, probe

COMMAND = [sys.executable, "application.py"]
FUNCTIONS = (
    *("stop", "record_begin", "record_end"),
    *("region_of", "region_run", "region_enter", "region_leave"),
)


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    path.chmod(0o755)
    return path


def write_stub(folder: Path, *, start: str = "return 0;", head: str = "") -> Path:
    """Sources with the library's interface that compile in a moment and count nothing."""
    folder.mkdir()
    functions = "".join(f"long aimatrix_{name}() {{ return 0; }}\n" for name in FUNCTIONS)
    (folder / "stub.cpp").write_text(
        f'{head}\n#include <unistd.h>\nextern "C" {{\nint aimatrix_abi() {{ return 2; }}\n'
        f"long aimatrix_seen() {{ return 0; }}\nint aimatrix_start() {{ {start} }}\n"
        f"{functions}}}\n"
    )
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """This environment with a cache of the test's own."""
    pytest.importorskip("torch")
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("there is no C++ compiler")
    own = {name: value for name, value in os.environ.items() if name != "CXX"}
    return {**own, "AIMATRIX_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A self-test that is content with anything, and no start of torch for its ABI."""
    monkeypatch.setattr(provision, "check_library", lambda *_: 123.0)
    monkeypatch.setattr(provision, "_abi", lambda *_: "1")


def ensured(environment: dict[str, str], sources: Path) -> tuple[Library | Unavailable, list[str]]:
    told: list[str] = []
    found = ensure(COMMAND, environment=environment, sources=sources, tell=told.append)
    return found, told


class TestInterpreter:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Programs as they are found on a PATH; ``python3.9`` is the one to be found."""
        write_script(tmp_path / "python3.9", "#!/bin/sh\n")
        write_script(tmp_path / "wrapper", "\x7fELF\n")
        write_script(tmp_path / "direct", f"#!{tmp_path}/python3.9 -s\n")
        write_script(tmp_path / "by_env", "#!/usr/bin/env -S python3.9 -u\n")
        long = f"#!/bin/sh\n'''exec' \"{tmp_path}/python3.9\" \"$0\" \"$@\"\n' '''\n"
        write_script(tmp_path / "with_long_path", long)
        write_script(tmp_path / "shell", "#!/bin/sh\necho\n")
        return tmp_path

    @pytest.mark.parametrize(
        "command",
        [
            "python3.9 app.py",
            "env A=1 python3.9 app.py",
            "wrapper -n 5 python3.9 -m app",
            "direct",
            "by_env --option",
            "with_long_path",
            "wrapper direct",
        ],
    )
    def test_a_command_tells_its_python(self, folder: Path, command: str) -> None:
        environment = {"PATH": str(folder)}
        assert find_interpreter(command.split(), environment) == str(folder / "python3.9")

    @pytest.mark.parametrize("command", ["shell", "wrapper", "absent", "wrapper app.py", ""])
    def test_where_it_does_not_our_own_is_taken(self, folder: Path, command: str) -> None:
        environment = {"PATH": str(folder)}
        assert find_interpreter(command.split(), environment) == sys.executable

    def test_its_torch_is_known_without_importing_it(self) -> None:
        torch = pytest.importorskip("torch")
        found = probe(sys.executable, os.environ)
        assert found.python == ".".join(map(str, sys.version_info[:3]))
        assert found.torch is not None
        assert found.torch.version == torch.__version__
        assert found.torch.git == torch.version.git_version
        assert found.torch.folder == Path(torch.__file__).parent

    @pytest.mark.parametrize(
        "text",
        [
            "#!/bin/sh\nexit 3\n",
            "#!/bin/sh\necho nonsense\n",
            '#!/bin/sh\necho \'{"python": "3.9.1", "torch": null}\'\n',
            "not a program",
        ],
    )
    def test_one_without_torch_needs_no_library_and_no_word(
        self, tmp_path: Path, text: str
    ) -> None:
        python = write_script(tmp_path / "python3", text)
        found = ensure([str(python)], environment={"AIMATRIX_CACHE": str(tmp_path / "cache")})
        assert isinstance(found, Unavailable)
        assert found.torch is None
        assert not (tmp_path / "cache").exists()


class TestBuild:
    def test_it_is_built_once_for_this_user_alone(
        self, environment: dict[str, str], tmp_path: Path, passing: None
    ) -> None:
        sources = write_stub(tmp_path / "sources")
        before = os.umask(0)
        try:
            built, told = ensured(environment, sources)
        finally:
            os.umask(before)
        assert isinstance(built, Library), built
        assert len(told) == 1
        assert "building the native capture for torch" in told[0]
        folder = cache_folder(environment)
        assert built.file.parent.parent == folder.resolve()
        for path in (folder.parent, *folder.parent.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert [path for path in folder.iterdir() if path.name.startswith(".building")] == []
        assert ensured(environment, sources) == (built, [])
        notes = json.loads((built.file.parent / "library.json").read_text())
        assert notes["event_ns"] == 123.0
        assert "-DNDEBUG" in notes["flags"]

    def test_the_agent_finds_it_under_the_name_that_it_makes_up_itself(
        self, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torch = pytest.importorskip("torch")
        monkeypatch.setattr(provision, "check_library", lambda *_: 123.0)
        sources = write_stub(tmp_path / "sources")
        built, _ = ensured(environment, sources)
        assert isinstance(built, Library), built
        abi = str(int(torch.compiled_with_cxx11_abi()))
        git = torch.version.git_version
        assert built.file.parent.name == library.key(torch.__version__, git, abi, digest(sources))

    def test_other_sources_make_another_library(
        self, environment: dict[str, str], tmp_path: Path, passing: None
    ) -> None:
        sources = write_stub(tmp_path / "sources")
        first, _ = ensured(environment, sources)
        (sources / "more.h").write_text("// changed\n")
        second, told = ensured(environment, sources)
        assert isinstance(first, Library)
        assert isinstance(second, Library)
        assert first.file != second.file
        assert len(told) == 1

    def test_two_builders_at_once_make_one_library(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        sources = write_stub(tmp_path / "sources")
        # the compiler goes on only when both builders have begun
        compiler = write_script(
            tmp_path / "compiler",
            f"""\
            #!/bin/sh
            case "$*" in *" -o "*) echo run >> {tmp_path}/runs;; esac
            for _ in $(seq 300); do
                [ $(ls {tmp_path} | grep -c begun) = 2 ] && break
                sleep 0.1
            done
            exec c++ "$@"
            """,
        )
        program = f"""
            import os, sys
            from pathlib import Path
            from aimatrix.monitoring.native import ensure, provision
            provision.check_library = lambda *_: 123.0
            found = ensure(
                {COMMAND!r}, sources=Path({str(sources)!r}),
                tell=lambda _: Path({str(tmp_path)!r}, f"begun-{{os.getpid()}}").touch(),
            )
            print(found.file)
        """
        builders = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(program)],
                env={**environment, "CXX": str(compiler)},
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        first, second = (builder.communicate(timeout=100)[0] for builder in builders)
        assert first == second != ""
        assert (tmp_path / "runs").read_text() == "run\n"

    def test_what_a_killed_builder_left_is_cleared_away(
        self, environment: dict[str, str], tmp_path: Path, passing: None
    ) -> None:
        left = cache_folder(environment) / ".building-old"
        left.mkdir(parents=True)
        assert isinstance(ensured(environment, write_stub(tmp_path / "sources"))[0], Library)
        assert not left.exists()


class TestPlace:
    @pytest.mark.parametrize("open_to", [0o020, 0o002])
    @pytest.mark.parametrize("above", [0, 1])
    def test_one_that_others_can_write_to_is_refused(
        self,
        environment: dict[str, str],
        tmp_path: Path,
        passing: None,
        open_to: int,
        above: int,
    ) -> None:
        sources = write_stub(tmp_path / "sources")
        assert isinstance(ensured(environment, sources)[0], Library)
        folder = [cache_folder(environment), *cache_folder(environment).parents][above]
        folder.chmod(0o700 | open_to)
        found, told = ensured(environment, sources)
        assert isinstance(found, Unavailable)
        assert f"{folder} can be written to by other users" in found.reason
        assert told == []

    def test_nothing_is_built_where_others_can_write(
        self, environment: dict[str, str], tmp_path: Path, passing: None
    ) -> None:
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache").chmod(0o777)
        found, _ = ensured(environment, write_stub(tmp_path / "sources"))
        assert isinstance(found, Unavailable)
        assert found.torch is not None
        assert list((tmp_path / "cache").iterdir()) == []

    def test_a_file_that_others_can_write_to_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "capture.so"
        file.touch(0o600)
        assert library.trusted(str(file)) == str(file.resolve())
        file.chmod(0o666)
        with pytest.raises(PermissionError, match=r"capture\.so can be written to by other users"):
            library.trusted(str(file))

    def test_another_users_file_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "capture.so"
        file.touch(0o600)
        if os.geteuid() == 0:
            os.chown(file, 12345, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(PermissionError, match="belongs to another user"):
            library.trusted(str(file))

    def test_a_link_is_followed_to_where_the_file_really_is(self, tmp_path: Path) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open" / "capture.so").touch(0o600)
        (tmp_path / "open").chmod(0o777)
        (tmp_path / "link").symlink_to(tmp_path / "open" / "capture.so")
        with pytest.raises(PermissionError, match="open can be written to"):
            library.trusted(str(tmp_path / "link"))

    @pytest.mark.parametrize("cache", ["{folder}/file/cache", "/proc/cache"])
    def test_one_that_cannot_be_made_is_a_reason(
        self, environment: dict[str, str], tmp_path: Path, cache: str
    ) -> None:
        (tmp_path / "file").touch(0o600)
        environment["AIMATRIX_CACHE"] = cache.format(folder=tmp_path)
        found, _ = ensured(environment, write_stub(tmp_path / "sources"))
        assert isinstance(found, Unavailable)
        assert f"{cache_folder(environment)}: nothing can be kept there" in found.reason

    def test_where_the_cache_is(self) -> None:
        assert cache_folder({"AIMATRIX_CACHE": "/a"}) == Path("/a/native")
        both = {"AIMATRIX_CACHE": "", "XDG_CACHE_HOME": "/b"}
        assert cache_folder(both) == Path("/b/aimatrix/native")
        at_home = Path.home() / ".cache" / "aimatrix" / "native"
        assert cache_folder({"XDG_CACHE_HOME": "relative"}) == at_home


class TestFailure:
    def test_a_compiler_that_fails_is_not_tried_again(
        self, environment: dict[str, str], tmp_path: Path, passing: None
    ) -> None:
        sources = write_stub(tmp_path / "sources")
        broken = {**environment, "CXX": "/bin/false"}
        found, told = ensured(broken, sources)
        assert isinstance(found, Unavailable)
        assert found.torch is not None
        assert "false: cannot compile it" in found.reason
        assert len(told) == 1
        again, told = ensured(broken, sources)
        assert isinstance(again, Unavailable)
        assert again.reason == f"{found.reason}; to try again: aimatrix doctor --build"
        assert told == []
        state = diagnose(COMMAND, environment=broken, sources=sources)
        assert (state.state, state.reason) == (State.FAILED, found.reason)
        # another compiler may do better, and then the failure is of the past
        better, _ = ensured(environment, sources)
        assert isinstance(better, Library)
        assert diagnose(COMMAND, environment=broken, sources=sources).state is State.READY

    def test_the_compilers_first_error_is_the_reason(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        sources = write_stub(tmp_path / "sources", head="#error first\n#error second")
        found, _ = ensured(environment, sources)
        assert isinstance(found, Unavailable)
        assert "#error first" in found.reason
        assert "second" not in found.reason

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"PATH": "/nowhere"}, "there is no C++ compiler; install g++ or clang++"),
            ({"CXX": "absent -m64"}, "CXX names a compiler that is not there: absent -m64"),
            ({"CXX": "'"}, "CXX is no command"),
        ],
    )
    def test_no_compiler_is_a_reason_and_is_looked_for_again(
        self,
        environment: dict[str, str],
        tmp_path: Path,
        passing: None,
        change: dict[str, str],
        reason: str,
    ) -> None:
        sources = write_stub(tmp_path / "sources")
        found, told = ensured({**environment, **change}, sources)
        assert isinstance(found, Unavailable)
        assert reason in found.reason
        assert told == []
        assert isinstance(ensured(environment, sources)[0], Library)

    def test_a_torch_without_headers_is_a_reason(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        fake = tmp_path / "packages" / "torch"
        fake.mkdir(parents=True)
        (fake / "version.py").write_text("__version__ = '1.2.3'\ngit_version = 'abcdef0123'\n")
        (fake / "__init__.py").write_text("class _C: _GLIBCXX_USE_CXX11_ABI = True\n")
        environment["PYTHONPATH"] = str(fake.parent)
        found, _ = ensured(environment, write_stub(tmp_path / "sources"))
        assert isinstance(found, Unavailable)
        assert found.torch is not None
        assert found.torch.version == "1.2.3"
        assert "this torch has come without its C++ headers" in found.reason

    def test_a_library_that_crashes_is_never_used(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        sources = write_stub(tmp_path / "sources", start="*(volatile int*)0 = 1; return 0;")
        found, _ = ensured(environment, sources)
        assert isinstance(found, Unavailable)
        assert found.reason == "its self-test was ended by SIGSEGV"
        assert list(cache_folder(environment).rglob(library.FILE)) == []
        again, told = ensured(environment, sources)
        assert isinstance(again, Unavailable)
        assert again.reason.startswith(found.reason)
        assert told == []

    def test_a_library_that_hangs_is_never_used(
        self, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self_test, "PATIENCE", 4.0)
        sources = write_stub(tmp_path / "sources", start="for (;;) sleep(1);")
        found, _ = ensured(environment, sources)
        assert isinstance(found, Unavailable)
        assert found.reason == "its self-test had not ended after 4 s"


class TestSelfTest:
    """With a Python that writes down counts instead of counting."""

    @pytest.fixture
    def judge(self, tmp_path: Path) -> Callable[..., float]:
        def run(
            change: dict[tuple[str, str], int] | None = None,
            *,
            processes: int = known_program.PROCESSES,
            conv2d: dict[str, Any] | None = None,
            event_ns: float = 250.0,
        ) -> float:
            counts = {**known_program.EXPECTED, **(change or {})}
            python = write_script(
                tmp_path / "python",
                f"""\
                #!{sys.executable}
                import json, sys
                from aimatrix.monitoring.agent.spool import SpoolTally
                for number in range({processes}):
                    tally = SpoolTally(sys.argv[3], 64)
                    for (name, phase), calls in {counts!r}.items():
                        arguments = {conv2d or known_program.CONV2D!r} if "conv2d" in name else {{}}
                        description = dict(
                            name=name, overload="", phase=phase, arguments=arguments
                        )
                        slot = tally.open(lambda: description)
                        if number == 0:
                            for _ in range(calls):
                                tally.add(slot)
                print(json.dumps({{"event_ns": {event_ns}}}))
                """,
            )
            work = tmp_path / "work"
            work.mkdir()
            return self_test.check_library(str(python), tmp_path / "capture.so", work, os.environ)

        return run

    def test_right_counts_pass(self, judge: Callable[..., float]) -> None:
        assert judge() == 250.0

    @pytest.mark.parametrize(("measured", "believed"), [(-3.0, 50.0), (1e6, 2000.0)])
    def test_a_cost_that_no_one_believes_is_bounded(
        self, judge: Callable[..., float], measured: float, believed: float
    ) -> None:
        assert judge(event_ns=measured) == believed

    def test_a_wrong_count_does_not(self, judge: Callable[..., float]) -> None:
        with pytest.raises(BuildError, match=r"counted 2 calls of aten::conv2d \(forward\) inst"):
            judge({("aten::conv2d", "forward"): 2})

    def test_a_wrong_phase_does_not(self, judge: Callable[..., float]) -> None:
        with pytest.raises(BuildError, match=r"counted 1 calls of aten::linear \(backward\) inst"):
            judge({("aten::linear", "backward"): 1})

    def test_wrong_attributes_do_not(self, judge: Callable[..., float]) -> None:
        wrong = {**known_program.CONV2D, "stride": [1, 1]}
        with pytest.raises(BuildError, match=r"described aten::conv2d with stride \(1, 1\)"):
            judge(conv2d=wrong)

    def test_a_child_that_counts_nowhere_does_not(self, judge: Callable[..., float]) -> None:
        with pytest.raises(BuildError, match="counted in 1 processes instead of 2"):
            judge(processes=1)
