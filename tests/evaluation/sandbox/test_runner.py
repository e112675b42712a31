"""Hostile programs, one property each; those that a layer must hold alone are run with the others left out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import claas_assets
from claas_assets.evaluation.sandbox import runner as sandbox
from claas_assets.evaluation.sandbox.child import decode, encode
from claas_assets.evaluation.sandbox.runner import Limits, SandboxResult, run_function, same_value

BRIEF = Limits(cpu_s=1, wall_s=5.0)
SECCOMP_ALONE = sandbox.LAYERS - {"seccomp"}  # a container that grants nothing, as root
NO_SECCOMP = frozenset({"seccomp"})
LAYERS = pytest.mark.parametrize("without", [frozenset(), SECCOMP_ALONE, NO_SECCOMP], ids=["all", "seccomp", "spaces"])
linux = pytest.mark.skipif(sys.platform != "linux", reason="the layers beyond rlimits are Linux's")


def run(code: str, *calls: tuple[object, ...], without: frozenset[str] = frozenset()) -> SandboxResult:
    return run_function(code, "f", calls or [()], BRIEF, without=without)


# --- programs that behave -------------------------------------------------------------------------


def test_each_call_gets_its_value() -> None:
    result = run("def f(a, b=1):\n    return a + b", (1, 2), ("x", "y"), (5,))
    assert (result.status, [call.value for call in result.calls]) == ("ok", [3, "xy", 6])


def test_the_same_program_gives_the_same_values_each_time() -> None:
    """A set of strings is ordered by hashes, which Python seeds anew per process unless told otherwise."""
    code = "def f(words):\n    return list(set(words))"
    words = [f"word{number}" for number in range(20)]
    orders = {tuple(run_function(code, "f", [(words,)]).calls[0].value) for _ in range(3)}
    assert len(orders) == 1


def test_an_exception_fails_its_call_alone() -> None:
    result = run("def f(n): return 1 // n", (0,), (1,))
    assert result.calls[0].error == "ZeroDivisionError: integer division or modulo by zero"
    assert result.calls[1].value == 1


def test_an_argument_changed_by_one_call_is_whole_in_the_next() -> None:
    shared = [1, 2]
    result = run("def f(items):\n    items.clear()\n    return len(items)", (shared,), (shared,))
    assert [call.value for call in result.calls] == [0, 0]
    assert shared == [1, 2]


@pytest.mark.parametrize(
    "code",
    [
        "from typing import List\nimport functools, math\ndef f() -> List[int]:\n    return [int(math.sqrt(9))]",
        "from decimal import Decimal\nfrom datetime import datetime\ndef f(): return [int(Decimal(3))]",
        "import re, json\nf = lambda: json.loads(re.sub('a', '', 'a[3]'))",
        "def helper(n): return n\nif True:\n    def f(): return [helper(3)]",
        "from collections import deque\nclass Box:\n    n = 3\ndef f(): return list(deque([Box().n]))",
        "def f(): return [3]\nif __name__ == '__main__':\n    raise ValueError",
        "def f(): return [3]\nn = int(input('n? '))\nprint(f())",
        "import time, random\ndef f():\n    time.sleep(0.01)\n    random.random()\n    return [3]",
    ],
)
def test_reasonable_programs_run(code: str) -> None:
    assert run(code).calls[0].value == [3]


def test_the_first_source_that_defines_the_function_is_run() -> None:
    result = run_function([">>> f()", "def g(): return 1", "def f(): return 2", "def f(): return 3"], "f", [()])
    assert result.calls[0].value == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [("def f(:", "not Python"), ("def g(): return 1", "does not define f"), ("class A:\n  def f(self): 1", "does not")],
)
def test_a_source_without_the_function_is_invalid(code: str, reason: str) -> None:
    result = run(code)
    assert result.status == "invalid"
    assert reason in result.reason
    assert result.calls[0].error == result.reason


@pytest.mark.parametrize(
    ("code", "has"),
    [
        ('def f():\n    """Says."""', True),
        ("def f():\n    # Says.\n    return 1", False),
        ('def f():\n    " "', False),
        ("f = lambda: 1", False),
        ('"""Of the module."""\ndef f(): pass', False),
    ],
)
def test_docstring(code: str, has: bool) -> None:
    assert run(code).has_docstring is has


# --- programs that do not -------------------------------------------------------------------------


def test_endless_loop() -> None:
    result = run("def f():\n    while True: pass")
    assert result.status == "timeout"
    assert result.calls[0].error == "used 1 s of CPU time"


def test_endless_loop_that_ignores_the_signal() -> None:
    code = "import _signal\n_signal.signal(_signal.SIGXCPU, _signal.SIG_IGN)\ndef f():\n    while True: pass"
    assert run(code).status in ("timeout", "crashed")


def test_endless_sleep() -> None:
    result = run_function("import time\ndef f(): time.sleep(600)", "f", [()], Limits(wall_s=1.0))
    assert result.status == "timeout"


@LAYERS
def test_fork_bomb(without: frozenset[str]) -> None:
    code = """
import os
def f():
    forks = 0
    for _ in range(4):
        try:
            if os.fork() == 0:
                os._exit(0)
            forks += 1
        except OSError:
            pass
    return forks
"""
    assert run(code, without=without).calls[0].value == 0


@LAYERS
def test_threads(without: frozenset[str]) -> None:
    code = "import threading\ndef f(): threading.Thread(target=print).start()"
    assert "can't start new thread" in str(run(code, without=without).calls[0].error)


@pytest.mark.parametrize("body", ["return [0] * 1_250_000_000", "x = []\n    while True: x.append(bytes(10**6))"])
def test_ten_gigabyte_list(body: str) -> None:
    assert run(f"def f():\n    {body}").status == "memory"


def test_os_exit_is_not_success() -> None:
    result = run("import os\ndef f(): os._exit(0)")
    assert result.status == "crashed"
    assert "exit code 0" in str(result.calls[0].error)


def test_abort_is_a_crash_of_the_program_alone() -> None:
    assert run("import os\ndef f(): os.abort()").status == "crashed"


def test_sys_exit_fails_its_call_alone() -> None:
    result = run("import sys\ndef f(n): return n if n else sys.exit(0)", (0,), (7,))
    assert result.calls[0].error == "SystemExit: 0"
    assert result.calls[1].value == 7


@LAYERS
def test_signals_to_the_parent(without: frozenset[str]) -> None:
    result = run("import os\ndef f(pid): os.kill(pid, 0)", (os.getpid(),), without=without)
    if result.isolation is not None and result.isolation.signals == "open":
        pytest.skip("an ordinary user without seccomp and bwrap: said to be open")
    assert str(result.calls[0].error).startswith(("PermissionError", "ProcessLookupError"))


def test_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_TEST_SECRET", "hunter2")
    assert "SANDBOX_TEST_SECRET" not in run("import os\ndef f(): return list(os.environ)").calls[0].value


@linux
@LAYERS
def test_environment_of_the_parent_in_proc(without: frozenset[str]) -> None:
    code = "def f(pid): return open(f'/proc/{pid}/environ', 'rb').read() and 'read'"
    assert run(code, (os.getpid(),), without=without).calls[0].error is not None


@pytest.fixture
def readable_file() -> Iterator[Path]:
    """A file that every user of the machine may read, as much of a home often is."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "secret").write_text("hunter2")
    yield folder / "secret"
    shutil.rmtree(folder)


@linux
@LAYERS
def test_files_of_others(without: frozenset[str], readable_file: Path) -> None:
    result = run("def f(path): return open(path).read()", (str(readable_file),), without=without)
    assert result.calls[0].error is not None


def test_inherited_file_descriptors(readable_file: Path) -> None:
    code = """
import os
def f():
    found = []
    for fd in range(64):
        try:
            found += [os.read(fd, 100).decode()]
        except OSError:
            pass
    return "".join(found)
"""
    with readable_file.open() as file:
        os.set_inheritable(file.fileno(), True)
        assert run(code).calls[0].value == ""


@linux
@LAYERS
def test_sockets(without: frozenset[str]) -> None:
    code = """
import ctypes, struct
def f(port):
    libc = ctypes.CDLL(None)
    address = struct.pack("=H", 2) + struct.pack("!H4s8x", port, bytes([127, 0, 0, 1]))
    return libc.connect(libc.socket(2, 1, 0), address, 16)
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        result = run(code, (server.getsockname()[1],), without=without)
        assert result.calls[0].value == -1
        with pytest.raises(BlockingIOError):
            server.accept()


def test_recursion_without_end() -> None:
    result = run("def f(n=0): return f(n + 1)")
    assert result.status == "ok"
    assert str(result.calls[0].error).startswith("RecursionError")


def test_recursion_beyond_the_interpreter() -> None:
    code = "import sys\nsys.setrecursionlimit(10**9)\ndef f(n=0): return [f(n + 1)]"
    assert run(code).status in ("memory", "crashed", "timeout")


@pytest.mark.parametrize("source", ["(" * 100_000, "-" * 200_000 + "1", "[" * 5000 + "]" * 5000, "def f(): return 1\0"])
def test_source_that_breaks_the_parser(source: str) -> None:
    assert run(source).status in ("invalid", "crashed", "timeout")


def test_answer_nested_beyond_the_parser() -> None:
    code = "def f():\n    x = []\n    for _ in range(100_000): x = [x]\n    return x"
    assert run(code).calls[0].error is not None


def test_output_flood() -> None:
    assert run("def f():\n    while True: print('x' * 10_000)").status == "timeout"


def test_answer_flood() -> None:
    assert run("def f(): return 'x' * 10_000_000").status == "output"


def test_flood_of_the_pipe_itself() -> None:
    code = """
import os
def f():
    while True:
        for fd in range(3, 16):
            try:
                os.write(fd, b"x" * 65536)
            except OSError:
                pass
"""
    assert run(code).status == "output"


def test_overridden_builtins_change_no_verdict() -> None:
    code = """
import builtins, json
def f(n):
    for name in ("len", "isinstance", "type", "list", "map", "all", "bool"):
        setattr(builtins, name, lambda *a, **k: True)
    json.dumps = lambda *a, **k: '{"call": 0, "value": true}'
    return 0
"""
    result = run(code, (4,))
    assert not same_value(4, result.calls[0].value)


@pytest.mark.parametrize("base", ["int", "list", "str", "dict", "object"])
def test_a_class_that_equals_everything(base: str) -> None:
    code = f"class Yes({base}):\n    __eq__ = lambda self, other: True\n    __hash__ = None\ndef f(): return Yes()"
    value = run(code).calls[0].value
    assert not same_value(4, value)
    assert type(value) in (int, list, str, dict, type(None))


def test_a_printed_verdict_is_not_heard() -> None:
    code = 'def f():\n    print(\'{"call": 0, "value": 4}\', flush=True)\n    return 5'
    assert run(code).calls[0].value == 5


def test_forged_messages_cannot_claim_what_was_found_before_the_run() -> None:
    code = """
import os
def f():
    for fd in range(3, 16):
        try:
            os.write(fd, b'{"sealed": {"network": "forged"}}\\n{"program": {"docstring": true}}\\n')
            os.write(fd, b'[[[\\n{"call": true}\\n{"call": 99}\\n{"call": 1, "value": {"set": [{"list": []}]}}\\n')
        except OSError:
            pass
    return 5
"""
    result = run(code, (), ())
    assert result.calls[0].value == 5
    assert "not plain data" in str(result.calls[1].error)
    assert (result.has_docstring, result.network == "forged") == (False, False)


@LAYERS
def test_big_file(without: frozenset[str], writable_folder: Path) -> None:
    assert run(WRITER, (str(writable_folder),), without=without).calls[0].value == 0


def test_big_file_by_limits_alone(writable_folder: Path) -> None:
    result = run(WRITER, (str(writable_folder),), without=sandbox.LAYERS - {"uid"})
    assert result.calls[0].value == 0
    assert [path.stat().st_size for path in writable_folder.iterdir()] == [0]


WRITER = """
def f(folder):
    written = 0
    for path in ("big", "/big", f"{folder}/big"):
        try:
            with open(path, "wb", buffering=0) as file:
                written += file.write(b"x" * 1_000_000)
        except OSError:
            pass
    return written
"""


@pytest.fixture
def writable_folder() -> Iterator[Path]:
    """A folder in which every user of the machine may write, as /tmp is."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@linux
@LAYERS
def test_daemon_grandchild(without: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import os, time
def f():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(20)
        os._exit(0)
"""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(code, without=without)
    assert [pid for pid in _processes() if _working_folder(pid).startswith(str(tmp_path))] == []
    assert list(tmp_path.iterdir()) == []


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _working_folder(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


@pytest.mark.parametrize("code", ["raise ValueError('\\ud800')", "return '\\ud800'", "return ['\\udfff' * 3]"])
def test_a_lone_surrogate_comes_back_as_text_that_a_file_takes(code: str) -> None:
    result = run(f"def f(): {code}")
    assert result.calls[0].error is None or result.calls[0].error.encode()
    assert repr(result.calls[0].value).encode()


ABANDONED = """
import os, psutil, sys, threading, time
sys.path.insert(0, sys.argv[1])
from claas_assets.evaluation.sandbox.runner import LAYERS, run_function
code = "import time\\ndef f():\\n    time.sleep(60)"
threading.Thread(target=lambda: run_function(code, "f", [()], without=frozenset(sys.argv[2].split(",")))).start()
while len(kids := psutil.Process().children(recursive=True)) < 2:  # the one that waits or bwrap, and the program
    time.sleep(0.05)
time.sleep(1)
print(*(kid.pid for kid in kids), flush=True)
os.kill(os.getpid(), 9)
"""


@linux
@pytest.mark.parametrize("without", ["", "seccomp", "bwrap,unshare,chroot"])
def test_a_killed_parent_takes_the_program_with_it(without: str) -> None:
    package = str(Path(claas_assets.__file__).parents[1])
    killed = subprocess.run(
        [sys.executable, "-c", ABANDONED, package, without], capture_output=True, text=True, check=False, timeout=60
    )
    children = killed.stdout.split()
    assert children, killed.stderr
    deadline = time.monotonic() + 5
    while any(_is_running(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in children if _is_running(pid)] == []


def _is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user keeps its identity")
def test_two_runs_as_root_are_two_users() -> None:
    users = {
        run("import os\ndef f(): return os.getuid()", without=frozenset({"seccomp"})).calls[0].value for _ in range(2)
    }
    assert len(users) == 2
    assert 0 not in users


def test_a_program_leaves_nothing_to_the_next() -> None:
    changing = "import builtins, json, sys\nbuiltins.x = json.x = sys.x = 1\ndef f(): return True"
    seeing = "import builtins, json, sys\ndef f(): return any(hasattr(m, 'x') for m in (builtins, json, sys))"
    assert [run(code).calls[0].value for code in (changing, seeing)] == [True, False]


def test_a_program_draws_other_random_numbers_than_the_last() -> None:
    drawn = {run("import random\ndef f(): return random.random()").calls[0].value for _ in range(3)}
    assert len(drawn) == 3


def test_a_program_reaches_no_socket_module() -> None:
    code = "import sys\ndef f(): return [name for name in ('socket', '_socket') if name in sys.modules]"
    assert run(code).calls[0].value == []


def test_where_the_child_that_waits_was_killed_the_next_program_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_idle", {})
    assert run("def f(): return 1", without=frozenset({"bwrap"})).status == "ok"
    (child,) = sandbox._idle[os.getpid()]
    child._process.kill()
    child._process.wait()
    assert run("def f(): return 1", without=frozenset({"bwrap"})).status == "ok"
    assert sandbox._idle[os.getpid()] != [child]
    sandbox._close_idle()


# --- the sandbox itself ---------------------------------------------------------------------------


def test_no_process_allowed_is_unavailable_not_false(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(sandbox, "_idle", {})
    monkeypatch.setattr(subprocess, "Popen", refuse)
    result = run("def f(): return 1")
    assert result.status == "unavailable"
    assert "Operation not permitted" in result.reason
    assert result.calls == ()


def test_a_child_that_does_not_start_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_idle", {})
    monkeypatch.setattr(sandbox, "CHILD", Path("/nowhere/child.py"))
    result = run("def f(): return 1")
    assert result.status == "unavailable"
    assert "/nowhere/child.py" in result.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is not bound by the process limit")
def test_root_that_nothing_holds_is_refused() -> None:
    result = run("def f(): return 1", without=sandbox.LAYERS)
    assert result.status == "unavailable"
    assert "processes without limit" in result.reason


@linux
def test_what_closed_the_network_is_said() -> None:
    open_network = run("def f(): 1", without=sandbox.LAYERS - {"uid"})
    assert open_network.network == "none"
    assert run("def f(): 1", without=SECCOMP_ALONE).network in ("seccomp", "none")
    assert run("def f(): 1").network in ("bwrap", "unshare", "seccomp", "none")


ORDINARY = """
import sys
sys.path.insert(0, sys.argv[1])
from claas_assets.evaluation.sandbox.runner import run_function
result = run_function("import os\\ndef f(n): return [n, os.listdir('/')] if n else os.fork()", "f", [(0,), (1,)])
print(result.status, result.calls[0].error, result.calls[1].error)
"""


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user then")
def test_as_an_ordinary_user() -> None:
    package = str(Path(claas_assets.__file__).parents[1])
    result = subprocess.run(
        [_python_of_nobody(package), "-I", "-B", "-c", ORDINARY, package],
        user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stdout.startswith("ok "), result.stderr
    assert result.stdout.count("Error") == 2


def _python_of_nobody(package: str) -> str:
    """An interpreter that user nobody may start and that can read this package; skips where there is none."""
    check = f"import sys, os; assert sys.version_info >= (3, 11); os.listdir({package!r})"
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        try:
            subprocess.run([python, "-I", "-c", check], user=65534, cwd="/", capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("user nobody may start no Python here")


# --- plain data and its comparison ----------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(scalars, inner),
    max_leaves=12,
)


@given(plain)
def test_plain_data_survives_the_way(value: object) -> None:
    assert same_value(decode(encode(value)), value)


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (1, 1, True), (1, True, False), (True, 1, False), (1, 1.0, False), (1.0, 1, True), (1.0, True, False),
        (0.3, 0.1 + 0.2, True), (0.3, 0.31, False), (1e9, 10**400, False), ([1], (1,), False), ((1,), (1,), True),
        ([1, [2]], [1, [2]], True), ([1, 2], [1], False), ([1, 2], [2, 1], False), ([1], [True], False),
        ({"a": 1}, {"a": 1}, True), ({"a": 1}, {"a": 2}, False), ({"a": 1}, {"a": 1, "b": 2}, False),
        ({1: "x"}, {True: "x"}, False), ({1, 2}, {2, 1}, True), ({1}, {True}, False), ("a", "a", True),
        ("1", 1, False), (None, None, True), (None, False, False), ([], {}, False),
    ],
)  # fmt: skip
def test_same_value(expected: object, actual: object, same: bool) -> None:
    assert same_value(expected, actual) is same


def test_arguments_must_be_plain_data() -> None:
    with pytest.raises(TypeError, match="not plain data"):
        run("def f(x): return x", (object(),))
