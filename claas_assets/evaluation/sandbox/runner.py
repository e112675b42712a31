"""Runs code that a model wrote, which is hostile until shown otherwise.

    result = run_function("def add(a, b): return a + b", "add", [(1, 2)])
    result.calls[0].value == 3

The program never judges itself. It runs in a process of its own that knows the inputs and not what is
expected; it sends back values as plain data, and `same_value` compares them here, in the parent. A class
whose `__eq__` always says yes, an overridden builtin, a printed verdict or a forged message gain nothing:
to send the right value one must have computed it. (`child.py` is what runs inside.)

What closes the process, each layer on its own, all of them where the system grants them:

| layer | granted | closes |
| --- | --- | --- |
| limits | any POSIX system | CPU time, memory, files (0 bytes may be written), processes and threads (0 more) |
| own user | to root with CAP_SETUID | being root: the process limit binds, no signal reaches us or a run beside |
| namespaces | bwrap, where installed (ordinary users); else unshare(2) | network, shared memory |
| empty root | CAP_SYS_CHROOT, ours or the user namespace's; bwrap | files, /proc: our environment, our home |
| seccomp | Linux on x86-64 and arm64, containers without any privilege too | all but computing, see below |

With seccomp a program can compute, allocate, sleep, read the clock and write to its pipe; opening a file or a
socket, forking, starting a thread and sending a signal all answer EPERM. So no process can be left behind; the
process group is killed all the same, and a parent that is killed takes the program with it. Without it these hold
by limits, namespaces and identity. Root that cannot become another user and has no seccomp could start processes
without limit: it is refused (`unavailable`). Standard output and error go nowhere; the pipe is read up to
`Limits.answer_bytes`.

What it does not protect against:
- faults of the kernel or the processor (side channels, a hole in one of the few calls that are left);
- a system that grants neither seccomp nor namespaces (macOS, say), for an ordinary user: there a program can
  read the user's files, use the network and send signals. `Isolation` says `network: none`, `files: open`;
- two of several hundred runs at once as root, without seccomp, may be the same user and signal each other (the user
  follows from the process id);
- what a program may learn of the layout of memory, which is that of the next program too: on Linux without bwrap both
  are forks of one process of ours, which has seen neither;
- use of one core for `cpu_s` seconds and of `memory_bytes` of memory, a run at a time;
- a program that recognizes the inputs and answers them from a table: that is a right answer.
"""

import atexit
import contextlib
import json
import math
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

from claas_assets.evaluation.sandbox import child as sandbox_child

Ended = Literal["eof", "wall", "output"]
Status = Literal["ok", "invalid", "timeout", "memory", "crashed", "output", "unavailable"]
CHILD = Path(sandbox_child.__file__)
LAYERS = frozenset({"bwrap", "unshare", "chroot", "uid", "seccomp"})


@dataclass(frozen=True)
class Limits:
    """What one run of a program may use."""

    cpu_s: int = 2
    """Seconds of CPU time. This is the limit that decides."""
    wall_s: float = 8.0
    """Seconds until a program that sleeps is ended; wide, since machines are busy."""
    memory_bytes: int = 256 << 20
    """Bytes of address space, the interpreter's 20 MiB included."""
    answer_bytes: int = 64 << 10
    """Bytes of all returned values together, as JSON."""


@dataclass(frozen=True)
class Isolation:
    """How the process was closed: the layer that did it, or `none` / `open`."""

    network: str
    """bwrap, unshare, seccomp or none."""
    files: str
    """bwrap, chroot, seccomp or open."""
    processes: str
    """seccomp or rlimit."""
    signals: str
    """seccomp, bwrap, uid or open."""
    missing: tuple[str, ...] = ()
    """Layers that this system did not grant, each with its reason."""


@dataclass(frozen=True)
class CallResult:
    """`value` is plain data (and may be None); where `error` is a text, there is no value."""

    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class SandboxResult:
    """One program, one result for each call.

    `ok`: each call returned or raised. `invalid`: no source parses and defines the function. `timeout`,
    `memory`, `crashed`, `output`: how it ended; calls without an answer carry `reason` as their error.
    `unavailable`: the sandbox itself could not run, so nothing is known about the program.
    """

    status: Status
    reason: str = ""
    calls: tuple[CallResult, ...] = ()
    has_docstring: bool = False
    isolation: Isolation | None = None

    @property
    def network(self) -> str:
        return self.isolation.network if self.isolation else "none"


def run_function(
    code: str | Sequence[str],
    function: str,
    calls: Sequence[tuple[Any, ...]],
    limits: Limits = Limits(),
    *,
    without: frozenset[str] = frozenset(),
) -> SandboxResult:
    """Run `code` once and call `function` with each of `calls` (tuples of plain data).

    Of several sources the first that parses and defines `function` is run. `without` leaves out layers
    (`LAYERS`): the tests use it to show that each holds without the others. Never raises for what the
    program does; raises `TypeError` where an argument is not plain data.
    """
    encoded = [sandbox_child.encode(tuple(arguments)) for arguments in calls]
    candidates = [code] if isinstance(code, str) else list(code)
    job = {
        "candidates": candidates, "function": function, "calls": encoded,
        "limits": asdict(limits), "without": sorted(without), "launcher": _launcher(without),
    }  # fmt: skip
    try:
        run = _run_child(job, limits)
    except OSError as error:
        return SandboxResult("unavailable", f"no process can be started for model-written code: {error}")
    return _read_run(run, len(calls), limits)


# --- the process ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """What a finished child left: its pipe's lines, how it ended, and its standard error before the seal."""

    output: bytes
    ended: Ended
    returncode: int
    complaint: str


def _launcher(without: frozenset[str]) -> str:
    """bwrap for ordinary users: as root it would keep our user id, which the process limit does not bind."""
    return "bwrap" if "bwrap" not in without and os.geteuid() != 0 and _bwrap_works() else ""


def _python() -> list[str]:
    # Not the virtual environment's link: nothing of the environment is wanted inside.
    return [str(Path(sys.executable).resolve()), "-P", "-s", "-S", "-B"]


def _bwrap() -> list[str]:
    visible = ["/usr", "/lib", "/lib64", "/nix/store", sys.base_prefix, str(CHILD)]
    binds = [part for path in visible for part in ("--ro-bind-try", path, path)]
    flags = ["--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--dev", "/dev"]
    # The full path: the child's environment, and with it PATH, is empty.
    return [shutil.which("bwrap") or "bwrap", *flags, *binds, "--chdir", "/", "--"]


@cache
def _bwrap_works() -> bool:
    """Installed does not mean allowed: it is tried once, with the interpreter that it would start."""
    if shutil.which("bwrap") is None:
        return False
    command = [*_bwrap(), *_python(), "-c", "pass"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# All of it. Sets of strings are ordered by their hashes: with a seed per process the same answer would be
# right in one scoring and wrong in the next.
CHILD_ENVIRONMENT = {"PYTHONHASHSEED": "0"}


def _run_child(job: dict[str, Any], limits: Limits) -> _Run:
    """Run the job in an empty folder, read its pipe to the end or a limit, and leave nothing of it running."""
    run = _in_bwrap if job["launcher"] else _in_fork
    with (
        tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True) as folder,
        _file_with({**job, "folder": "/" if job["launcher"] else folder}) as stdin,
        _file_with() as complaint,
    ):
        output, ended, returncode = run(stdin, complaint, limits)
        complaint.seek(0)
        return _Run(output, ended, returncode, complaint.read(2000).decode(errors="replace"))


def _in_bwrap(stdin: IO[bytes], complaint: IO[bytes], limits: Limits) -> tuple[bytes, Ended, int]:
    process = subprocess.Popen(
        [*_bwrap(), *_python(), str(CHILD)], stdin=stdin, stdout=subprocess.PIPE, stderr=complaint,
        env=CHILD_ENVIRONMENT, close_fds=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout as pipe:
        ended: Ended = "wall"
        try:
            output, ended = _read_pipe(pipe.fileno(), limits)
        finally:
            returncode = process.returncode = sandbox_child.end(process.pid, _grace_s(ended))
    return output, ended, returncode


def _in_fork(stdin: IO[bytes], complaint: IO[bytes], limits: Limits) -> tuple[bytes, Ended, int]:
    with _waiting_child(complaint) as child:
        reading, writing = os.pipe()
        with open(reading, "rb", buffering=0):
            try:
                child.start(stdin.fileno(), writing, complaint.fileno())
            finally:
                os.close(writing)
            ended: Ended = "wall"
            try:
                output, ended = _read_pipe(reading, limits)
            finally:
                returncode = child.end(_grace_s(ended))
        return (output, ended, returncode) if child.is_there else (b"", ended, returncode)


def _grace_s(ended: Ended) -> float:
    return sandbox_child.GRACE_S if ended == "eof" else 0.0


class _WaitingChild:
    """A process that waits for programs (`child.serve`), to run one at a time. It ends when this process does."""

    def __init__(self, complaint: IO[bytes]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*_python(), str(CHILD), str(theirs.fileno())], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=complaint, cwd="/", env=CHILD_ENVIRONMENT, pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip

    @property
    def is_there(self) -> bool:
        """Nothing that a program may do ends it; the system may, and a broken installation."""
        return self._process.poll() is None

    def start(self, job: int, pipe: int, complaint: int) -> None:
        """Have a program run, with these descriptors. Where the child is gone, `end` says so."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._socket, [b"r"], [job, pipe, complaint])

    def end(self, grace_s: float) -> int:
        """The exit code of the program, within `grace_s` seconds; where the child is gone, that of the child."""
        code = b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(sandbox_child.LET if grace_s else sandbox_child.KILL)
            code = self._socket.recv(struct.calcsize("i"))
        return int(struct.unpack("i", code)[0]) if code else self._process.wait()

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_idle: dict[int, list[_WaitingChild]] = {}
"""By process id, since a fork of this process may not use its children: those that run no program now."""


@contextlib.contextmanager
def _waiting_child(complaint: IO[bytes]) -> Iterator[_WaitingChild]:
    """One for this thread alone; a new one hears of what keeps it from starting in `complaint`."""
    idle = _idle.setdefault(os.getpid(), [])
    child = None
    with contextlib.suppress(IndexError):  # several threads take from the list
        while child is None or not child.is_there:
            child = idle.pop()
    if child is None or not child.is_there:
        child = _WaitingChild(complaint)
    try:
        yield child
    except BaseException:  # raised again: whatever stopped us, what may still run in this child is not for the next
        child.close()
        raise
    if child.is_there:
        idle.append(child)
    else:
        child.close()


@atexit.register
def _close_idle() -> None:
    for child in _idle.pop(os.getpid(), []):
        child.close()


def _file_with(job: dict[str, Any] | None = None) -> IO[bytes]:
    """A file, not a pipe, so that a child which never reads cannot block us."""
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    if job is not None:
        file.write(json.dumps(job).encode())
        file.seek(0)
    return file


def _read_pipe(pipe: int, limits: Limits) -> tuple[bytes, Ended]:
    deadline = time.monotonic() + limits.wall_s
    ours = 8 << 10  # room for the messages around the values
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                continue
            data = os.read(pipe, 64 << 10)
            if not data:
                return output, "eof"
            output += data
            if len(output) > limits.answer_bytes + ours:
                return output, "output"
    return output, "wall"


# --- what it sent -----------------------------------------------------------------------------


def _read_run(run: _Run, n_calls: int, limits: Limits) -> SandboxResult:
    """The first two messages were sent before the program ran, and are ours; the rest is the program's word."""
    messages = [_message(line) for line in run.output.split(b"\n")[:-1]]
    sealed = messages[0].get("sealed") if messages else None
    if sealed is None:
        return SandboxResult("unavailable", _why_not_sealed(run, messages, limits))
    isolation = Isolation(**{**sealed, "missing": tuple(sealed["missing"])})
    second = messages[1] if len(messages) > 1 else {}
    if "invalid" in second:
        return _unanswered("invalid", _printable(second["invalid"]), n_calls, isolation)
    if "program" not in second:
        return _unanswered(*_how_it_ended(run, limits), n_calls, isolation)
    answers = _answers(messages[2:], n_calls)
    finished: tuple[Status, str] = ("ok", "")
    status, reason = finished if len(answers) == n_calls else _how_it_ended(run, limits)
    if any(answer.error is not None and answer.error.startswith("MemoryError") for answer in answers.values()):
        status, reason = "memory", f"more than {limits.memory_bytes >> 20} MiB"
    calls = tuple(answers.get(index, CallResult(error=reason)) for index in range(n_calls))
    return SandboxResult(status, reason, calls, bool(second["program"]["docstring"]), isolation)


def _printable(said: Any) -> str:
    """A program's words without lone surrogates: JSON carries them, a file in UTF-8 does not."""
    return str(said).encode("utf-8", "replace").decode("utf-8")


def _message(line: bytes) -> dict[str, Any]:
    """One line as an object; a line that is none (only a program can send such) is an empty message."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _answers(messages: list[dict[str, Any]], n_calls: int) -> dict[int, CallResult]:
    """The first message for each call counts."""
    answers: dict[int, CallResult] = {}
    for message in messages:
        index = message.get("call")
        if type(index) is not int or not 0 <= index < n_calls or index in answers:
            continue
        if "error" in message:
            answers[index] = CallResult(error=_printable(message["error"])[:300])
            continue
        try:
            answers[index] = CallResult(value=sandbox_child.decode(message.get("value")))
        except (ValueError, TypeError, RecursionError) as error:
            answers[index] = CallResult(error=_printable(f"sent what is not plain data: {error}")[:300])
    return answers


def _how_it_ended(run: _Run, limits: Limits) -> tuple[Status, str]:
    if run.ended == "wall":
        return "timeout", f"not finished after {limits.wall_s:g} s"
    if run.ended == "output":
        return "output", f"returned more than {limits.answer_bytes >> 10} KiB"
    # bwrap passes the signal that ended its child on as 128 + its number.
    number = -run.returncode if run.returncode < 0 else run.returncode - 128
    if number == signal.SIGXCPU:
        return "timeout", f"used {limits.cpu_s} s of CPU time"
    if number > 0:
        return "crashed", f"ended by signal {number}"
    return "crashed", f"ended with exit code {run.returncode} before it had answered"


def _why_not_sealed(run: _Run, messages: list[dict[str, Any]], limits: Limits) -> str:
    if messages and "refused" in messages[0]:
        return str(messages[0]["refused"])
    if run.ended == "wall":
        return f"the sandbox was not ready after {limits.wall_s:g} s: the machine is too busy"
    last = run.complaint.strip().splitlines()[-1:] or ["no message"]
    return f"the sandbox's interpreter ended with code {run.returncode} before it was sealed: {last[0]}"


def _unanswered(status: Status, reason: str, n_calls: int, isolation: Isolation) -> SandboxResult:
    return SandboxResult(status, reason, (CallResult(error=reason),) * n_calls, isolation=isolation)


# --- the comparison ---------------------------------------------------------------------------


def same_value(expected: Any, actual: Any) -> bool:
    """Whether a returned value is the expected one. Strict in type, but for one thing.

    True is not 1, 1.0 is not 1, a tuple is not a list, "1" is not 1. Where a float is expected an int of
    that value will do (2 for 2.0), and floats agree within 1e-9, relative or absolute.
    """
    if type(expected) is float:
        return type(actual) in (int, float) and _close(expected, actual)
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, list | tuple):
        return len(expected) == len(actual) and all(map(same_value, expected, actual))
    if isinstance(expected, dict):
        return len(expected) == len(actual) and all(
            any(same_value(key, other) and same_value(value, actual[other]) for other in actual)
            for key, value in expected.items()
        )
    if isinstance(expected, set):
        return len(expected) == len(actual) and all(any(same_value(x, y) for y in actual) for x in expected)
    return bool(expected == actual)


def _close(expected: float, actual: float) -> bool:
    try:
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-9)
    except OverflowError:  # an int beyond the range of floats
        return False
