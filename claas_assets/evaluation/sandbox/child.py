"""The inside of the sandbox: seals itself, then runs a program and sends what its function returned.

Started by `runner.py` as `python -P -s -S -B child.py`, with no environment but a fixed hash seed. Standard library
only: nothing else is importable here. A program's process has its job on standard input and one pipe. Where bwrap
starts it, that is this process; else this one waits (`serve`) and forks one for each program, so that the interpreter
and its modules are loaded once. It reads no job and runs no program itself, so a fork of it has seen none but its own.

Everything up to `seal` is ours; after it the process can do nothing but compute, allocate, sleep, read the
clock and write to its pipe, and only then is the program looked at, even by the parser (which a deeply
nested source can crash). All modules a program may use are therefore loaded before.

One line of JSON a message, in this order:
    {"sealed": {...}} or {"refused": "why"}     before the program is looked at
    {"program": {...}} or {"invalid": "why"}    before the program runs
    {"call": i, "value": ...} or {"call": i, "error": "..."}    by the program's process: never trusted
"""

import ast
import contextlib
import ctypes
import errno
import importlib
import json
import os
import platform
import struct
import sys
import time
from typing import Any

NOBODY = 65534  # mapped in every usual container, and RLIMIT_NPROC binds it
UNUSED_IDS = range(60578, 61184)
"""Users that nobody is given (systemd leaves them free). Each run is another one, so that none can signal another."""

# Modules that a small function may reasonably import. They are loaded before the seal, since no file
# can be opened after it; those with an underscore or a dot are what others load lazily.
PRELOADED = (
    "abc", "array", "bisect", "calendar", "cmath", "collections", "collections.abc", "contextlib",
    "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq", "inspect",
    "io", "itertools", "json", "math", "numbers", "operator", "queue", "random", "re", "statistics",
    "string", "struct", "textwrap", "time", "timeit", "traceback", "types", "typing", "unicodedata",
    "warnings", "_strptime", "encodings.ascii", "encodings.latin_1", "encodings.utf_16",
    "encodings.utf_32",
)  # fmt: skip

CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x04000000, 0x08000000, 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 1, 22, 38, 2
SIGKILL = 9

# Everything that a sealed program may ask of the kernel, as (x86-64, arm64) numbers. No call here opens a
# file or a socket, starts a process or a thread, signals another process, or changes an identity.
ALLOWED_CALLS = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233), "nanosleep": (35, 101),
    "getpid": (39, 172), "exit": (60, 93), "gettimeofday": (96, 169), "getrusage": (98, 165),
    "times": (100, 153), "sigaltstack": (131, 132), "gettid": (186, 178), "futex": (202, 98),
    "restart_syscall": (219, 128), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "exit_group": (231, 94), "getrandom": (318, 278),
    "membarrier": (324, 283), "rseq": (334, 293),
}  # fmt: skip
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class Refused(Exception):
    """This process cannot be sealed well enough to run hostile code."""


# --- the seal ---------------------------------------------------------------------------------


def seal(limits: dict[str, Any], launcher: str, without: list[str], parent: int | None) -> dict[str, Any]:
    """Give up every right; returns how. Raises `Refused` where the program could start processes."""
    missing: list[str] = []
    _limit(limits, missing)
    network = launcher if launcher == "bwrap" else "none"
    files = launcher if launcher == "bwrap" else "open"
    if "unshare" not in without and network == "none" and _attempt("unshare", _leave_network, missing):
        network = "unshare"
    if "chroot" not in without and files == "open" and _attempt("chroot", _leave_files, missing):
        files = "chroot"
    nobody = "uid" not in without and os.geteuid() == 0 and _attempt("uid", _become_nobody, missing)
    _attempt("capabilities", _drop_capabilities, missing)
    # After the change of user, which the kernel takes as a reason to forget it.
    _attempt("end with the parent", lambda: _end_with_parent(parent), missing)
    filtered = "seccomp" not in without and _attempt("seccomp", _filter_calls, missing)
    if filtered:
        network = "seccomp" if network == "none" else network
        files = "seccomp" if files == "open" else files
    _check_that_forking_fails()
    return {
        "network": network,
        "files": files,
        "processes": "seccomp" if filtered else "rlimit",
        "signals": "seccomp" if filtered else "uid" if nobody else launcher or "open",
        "missing": missing,
    }


def _attempt(name: str, action: Any, missing: list[str]) -> bool:
    """Try one layer. A layer that this system does not grant is named with its reason, never hidden."""
    try:
        action()
    except (OSError, ValueError, AttributeError) as error:
        missing.append(f"{name}: {error}")
        return False
    return True


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _leave_network() -> None:
    """Namespaces of our own, with no interface up. An ordinary user needs a user namespace for it."""
    own = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    _checked(_libc().unshare(own if os.geteuid() == 0 else own | CLONE_NEWUSER))


def _leave_files() -> None:
    """The empty working directory becomes the root: no file, no /proc, no /dev."""
    os.chroot(".")
    os.chdir("/")


def _limit(limits: dict[str, Any], missing: list[str]) -> None:
    import resource  # not on Windows, and this module's data format is imported by the parent

    cpu, memory = limits["cpu_s"], limits["memory_bytes"]
    bounds = {
        "RLIMIT_CPU": (cpu, cpu + 1),  # SIGXCPU, and a second later SIGKILL for who ignores it
        "RLIMIT_AS": (memory, memory),
        "RLIMIT_FSIZE": (0, 0),
        "RLIMIT_NOFILE": (16, 16),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_NPROC": (0, 0),  # no process and no thread more; does not bind root: see _become_nobody
    }
    for name, bound in bounds.items():
        _attempt(name, lambda name=name, bound=bound: resource.setrlimit(getattr(resource, name), bound), missing)


def _become_nobody() -> None:
    """Root may exceed RLIMIT_NPROC, signal anybody and leave a chroot; a user of the run's own may not."""
    os.setgroups([])
    try:
        _become(UNUSED_IDS[os.getpid() % len(UNUSED_IDS)])
    except OSError:  # a user namespace that does not map it
        _become(NOBODY)


def _become(user: int) -> None:
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _end_with_parent(parent: int | None) -> None:
    """A parent that is killed takes this process with it (bwrap, where it is the parent, does so itself)."""
    if sys.platform != "linux":
        return
    _checked(_libc().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
    if parent is not None and os.getppid() != parent:
        os._exit(1)  # it was killed before this call


def _drop_capabilities() -> None:
    """A new user namespace gives all capabilities inside it: none is needed from here on."""
    if sys.platform != "linux":
        return
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _checked(_libc().capset(header, bytes(24)))


def _filter_calls() -> None:
    """seccomp: every system call outside `ALLOWED_CALLS` answers EPERM, for good."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in AUDIT_ARCH or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, f"no system call table for {sys.platform} on {machine}")
    program = _filter_program(machine)
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = _libc()
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _checked(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0))


def _filter_program(machine: str) -> bytes:
    """The filter in classic BPF (`struct sock_filter`, 8 bytes each), as `man 2 seccomp` describes it."""
    load, equal, answer = 0x20, 0x15, 0x06
    kill, refuse, allow = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000
    column = 0 if machine == "x86_64" else 1
    steps = [(load, 0, 0, 4), (equal, 1, 0, AUDIT_ARCH[machine]), (answer, 0, 0, kill), (load, 0, 0, 0)]
    for numbers in ALLOWED_CALLS.values():
        steps += [(equal, 0, 1, numbers[column]), (answer, 0, 0, allow)]
    steps.append((answer, 0, 0, refuse))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _check_that_forking_fails() -> None:
    """Not which layers were granted but whether they hold: the one that a bomb would need is tried."""
    try:
        child = os.fork()
    except OSError:
        return
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    raise Refused(
        "a program could start processes without limit here: run as an ordinary user, or allow setuid or seccomp"
    )


# --- plain data -------------------------------------------------------------------------------


def encode(value: Any) -> Any:
    """Plain data as tagged JSON. Raises `TypeError` for anything else.

    Subclasses (Counter, defaultdict, IntEnum, …) are sent as what they extend, read past their own methods.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    for kind, read in _SCALARS:
        if isinstance(value, kind):
            return read(value)
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in dict.items(value)]}
    for kind, name in _CONTAINERS:
        if isinstance(value, kind):
            return {name: [encode(item) for item in kind.__iter__(value)]}
    raise TypeError(f"returned a {type(value).__name__}, which is not plain data")


_SCALARS: Any = ((int, int.__int__), (float, float.__float__), (str, str.__str__))
_CONTAINERS: Any = ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "set"))


def decode(value: Any) -> Any:
    """The inverse of `encode`; raises `ValueError` or `TypeError` for what `encode` cannot have made."""
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a bare JSON array")
        return value
    (name, items), *more = value.items()
    if more or not isinstance(items, list):
        raise ValueError("not one tagged container")
    if name == "dict":
        return {decode(key): decode(item) for key, item in items}
    made = {"list": list, "tuple": tuple, "set": set}.get(name)
    if made is None:
        raise ValueError(f"an unknown tag {name!r}")
    return made(decode(item) for item in items)


# --- the program ------------------------------------------------------------------------------


def find_program(candidates: list[str], function: str) -> tuple[ast.Module, dict[str, Any]]:
    """The first source that parses and defines `function` at its top level.

    Raises `ValueError` saying what is wrong with the first one where none does.
    """
    problems = []
    for index, source in enumerate(candidates):
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            problems.append(f"not Python: {error}")
            continue
        defined = [node for node in _top_level(tree.body) if function in _names_bound(node)]
        if defined:
            return tree, {"index": index, "docstring": _has_docstring(defined[-1])}
        problems.append(f"does not define {function}")
    raise ValueError(problems[0] if problems else "there is no code")


def _top_level(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a module, with those inside `if`, `try`, `with` and loops."""
    found = []
    for statement in body:
        found.append(statement)
        if isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
            for part in ("body", "orelse", "finalbody"):
                found += _top_level(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                found += _top_level(handler.body)
    return found


def _names_bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _has_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.FunctionDef) and bool((ast.get_docstring(statement) or "").strip())


def run_program(job: dict[str, Any], send: Any) -> None:
    """Run the program once, call its function for each input, send each value or error.

    An error of the top level (an example that reads input, say) does not spoil a function that is defined.
    """
    try:
        tree, facts = find_program(job["candidates"], job["function"])
        compiled = compile(tree, "<solution>", "exec")
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        send({"invalid": _one_line(error)})
        return
    send({"program": facts})
    scope: dict[str, Any] = {"__name__": "solution"}
    problem = _guarded(lambda: exec(compiled, scope))[1]
    for index, arguments in enumerate(job["calls"]):
        function = scope.get(job["function"])
        if function is None:
            send({"call": index, "error": problem or f"{job['function']} is not defined"})
            continue
        value, failure = _guarded(lambda f=function, a=arguments: encode(f(*decode(a))))
        send({"call": index, "value": value} if failure is None else {"call": index, "error": failure})


def _guarded(action: Any) -> tuple[Any, str | None]:
    """What `action` returned, or its error in one line. SystemExit and KeyboardInterrupt are errors too."""
    try:
        return action(), None
    except BaseException as error:  # whatever a model wrote ends as an answer to the parent
        return None, _one_line(error)


def _one_line(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # the program's own class: its `__str__` may raise, or exit
        return "an error that cannot be shown"


def load_modules() -> None:
    for module in PRELOADED:
        importlib.import_module(module)


def run_job(parent: int | None) -> None:
    """Read the job, seal this process, run the program; does not return. `parent` takes it along when it ends."""
    with os.fdopen(0, "rb", closefd=False) as given:
        job = json.loads(given.read())
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)

    def send(message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(channel, data) :]

    try:
        load_modules()
        os.chdir(job["folder"])
        report = seal(job["limits"], job["launcher"], job["without"], parent)
    except Exception as error:  # whatever it is: without a seal nothing is run, and the parent is told why
        send({"refused": str(error) if isinstance(error, Refused) else _one_line(error)})
        os._exit(1)
    send({"sealed": report})
    run_program(job, send)
    os._exit(0)


# --- waiting for programs ---------------------------------------------------------------------


def serve(control: int) -> None:
    """Fork a process for each program that is asked for over the socket `control`, until its other end closes.

    Asked is a byte, with the descriptors of a job, a pipe and a file for complaints. The byte after it says that the
    program is over (`LET`: it may end by itself, for a moment); the answer is its exit code.
    """
    import _socket  # not `socket`, and not left to the program: see below

    load_modules()
    asked, own = _socket.socket(fileno=control), os.getpid()
    room = _socket.CMSG_SPACE(3 * struct.calcsize("i"))
    while True:
        said, ancillary, _, _ = asked.recvmsg(1, room)
        if not said:
            return  # whoever asked is gone
        descriptors = struct.unpack("3i", ancillary[0][2])
        process = os.fork()
        if process == 0:
            asked.close()
            del sys.modules["_socket"]
            os.setsid()
            for standard, descriptor in enumerate(descriptors):
                os.dup2(descriptor, standard)
                os.close(descriptor)
            run_job(own)
        for descriptor in descriptors:
            os.close(descriptor)
        code = end(process, grace_s=GRACE_S if asked.recv(1) == LET else 0.0)
        asked.sendall(struct.pack("i", code))


LET, KILL = b"l", b"k"
GRACE_S = 1.0


def end(process: int, grace_s: float) -> int:
    """Let a child end by itself for `grace_s` seconds, so that its exit code is its own; then kill its group."""
    deadline = time.monotonic() + grace_s
    done, status = os.waitpid(process, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(0.001)
        done, status = os.waitpid(process, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, SIGKILL)
    return os.waitstatus_to_exitcode(status if done else os.waitpid(process, 0)[1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]))
    else:
        run_job(None)
