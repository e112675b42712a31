"""What hostile input costs: `python -m benchmarks.hostile_input`, a table of bytes → seconds and MB.

Each input is read twice, the second time twice as long, each time in a process of its own, which is given up after
a minute. MB are what the process needed at its peak beyond what it had before the input was read. What is linear
doubles; what has a bound stays. `PYTHONPATH=<another checkout> python benchmarks/hostile_input.py` measures that one.
"""

from __future__ import annotations

import gzip
import importlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

LONGEST_S = 60


class Case(NamedTuple):
    """`reader` is `module:name`, or `module:Class`, which is made and called; `text` makes so many units of input."""

    reader: str
    arguments: tuple[Any, ...]
    text: Callable[[int], str]
    units: int


_VERIFIERS = "claas_assets.evaluation.preferences.verifiers"
_FAMILY = "\N{WOMAN}\N{ZERO WIDTH JOINER}"
_FLAGS = "\N{REGIONAL INDICATOR SYMBOL LETTER D}\N{REGIONAL INDICATOR SYMBOL LETTER E}"


def _words(count: int) -> str:
    return " ".join(f"w{i % 97}" for i in range(count))


CASES = {
    "x, spaces, x: a list": Case(f"{_VERIFIERS}:ListHasItems", (3,), lambda n: f"x{' ' * n}x", 16_000),
    "spaces: concise": Case(f"{_VERIFIERS}:ConciseVerifier", (), lambda n: " " * n, 16_000),
    "woman and joiner: no emoji": Case(f"{_VERIFIERS}:NoEmojiVerifier", (), lambda n: _FAMILY * n, 2_300),
    "flags: no emoji": Case(f"{_VERIFIERS}:NoEmojiVerifier", (), lambda n: _FLAGS * n, 8_000),
    "short lines: a list": Case(f"{_VERIFIERS}:ListHasItems", (3,), lambda n: "a\n" * n, 16_000),
    "short lines: concise": Case(f"{_VERIFIERS}:ConciseVerifier", (), lambda n: "a\n" * n, 16_000),
    "thinking opened and closed": Case(
        "claas_assets.wire:strip_thinking", (), lambda n: "<think>" * n + "</think>" * n, 21_000
    ),
    "8,000 words in ROUGE-L": Case(
        "claas_assets.evaluation.metrics.tokens:rouge_l", ("TWICE",), _words, 8_000
    ),
    "import a.a.a…: code": Case(
        f"{_VERIFIERS}:CodeParses", (), lambda n: f"```python\nimport {'.'.join('a' * n)}\n```", 50_000
    ),
}  # fmt: skip

BOMB = "gzip in gzip in gzip"
"""The answer of a server, of a few hundred bytes, that three layers make two gigabytes of."""


def measure(name: str, times: int) -> tuple[int, float, float]:
    """Bytes, seconds, and MB at the peak. Runs in the child."""
    read, size = _bomb(times) if name == BOMB else _reading(CASES[name], times)
    before = _peak_mb()
    began = time.perf_counter()
    read()
    return size, time.perf_counter() - began, _peak_mb() - before


def _reading(case: Case, times: int) -> tuple[Callable[[], object], int]:
    module, name = case.reader.split(":")
    found = getattr(importlib.import_module(module), name)
    text = case.text(case.units * times)
    if case.arguments == ("TWICE",):
        return lambda: found(text, text[::-1]), len(text.encode())
    reader = found(*case.arguments) if isinstance(found, type) else found
    reader("A short answer, so that everything is imported.")
    return lambda: reader(text), len(text.encode())


def _bomb(times: int) -> tuple[Callable[[], object], int]:
    from dataclasses import replace

    from tests.conftest import speak
    from tests.fake_claas import FakeClaas
    from tests.fake_claas.faults import body

    content = b"[" * (2**29 * times)
    for _ in range(3):
        content = gzip.compress(content)
    made = replace(body(content), headers=(("content-encoding", "gzip, gzip, gzip"),))

    def read() -> None:
        with FakeClaas("embedded") as fake:
            lora_id = fake.deployment.init("eval/identity", None)
            fake.faults.add("/v1/chat/completions", made)
            try:
                asked = (("user", "Who are you?"),)
                speak(fake, lambda client: client.chat(asked, lora_id=lora_id, temperature=0, max_tokens=8))
            except Exception as error:  # the kind of refusal is not what is measured
                print(f"refused: {type(error).__name__}", file=sys.stderr)

    return read, len(content)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    if len(sys.argv) == 3:
        print(*measure(sys.argv[1], int(sys.argv[2])))
        return 0
    print(f"{'input':32}{'bytes':>10}{'s':>9}{'MB':>8}")
    for name in [*CASES, BOMB]:
        for times in (1, 2):
            print(f"{name:32}{_measured_in_a_child(name, times)}", flush=True)
    return 0


def _measured_in_a_child(name: str, times: int) -> str:
    command = [sys.executable, __file__, name, str(times)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{'':>10}  more than {LONGEST_S} s"
    if done.returncode != 0:
        return f"  {done.stderr.strip().splitlines()[-1][:80] if done.stderr else f'ended with {done.returncode}'}"
    size, seconds, megabytes = map(float, done.stdout.split()[-3:])
    return f"{size:>10,.0f}{seconds:>9.2f}{megabytes:>8.0f}"


if __name__ == "__main__":
    sys.exit(main())
