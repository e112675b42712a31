"""Whatever a deployment said reaches the terminal as text: no escape sequence, no markup, no traceback."""

from __future__ import annotations

import io

from rich.console import Console

from claas_assets.cli.foreign_text import lines
from claas_assets.cli.terminal import TerminalProgress, print_summary
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.progress import Event
from claas_assets.evaluation.storage.records import Criterion, VerdictRecord

HOSTILE = "a\x1b[2J\x1b]52;c;aGk=\x07[/foo][bold]\u202eb\x9b31m"


def shown(use) -> str:
    out = io.StringIO()
    use(Console(file=out, force_terminal=True, color_system=None, width=200))
    return out.getvalue()


def test_a_summary_of_hostile_names_is_printed_as_text():
    record = VerdictRecord(
        preference="identity", lora_id=f"eval/{HOSTILE}", run_id="r", logprob_margin_delta=None, final_compliance=None,
        capability_ratio=None, overall="pass", sentence=f"pass: {HOSTILE}", alerts=[HOSTILE],
        criteria={"compliance": Criterion(value=1.0, grade="pass", sentence=HOSTILE)},
    )  # fmt: skip
    text = shown(lambda console: print_summary({"identity": record}, "data/evals/[/foo]", console))
    assert text.count("[/foo][bold]") == 4
    assert "data/evals/[/foo]" in text
    assert "\x1b]52" not in text
    assert "\x1b[2J" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text


def test_an_event_of_hostile_words_is_printed_as_text():
    config = EvalConfig(preferences=["identity"])
    text = shown(lambda console: TerminalProgress(config, console)(Event("identity", "note", HOSTILE)))
    assert "a[/foo][bold]b" in text
    assert "\x1b]52" not in text


def test_an_error_keeps_its_lines_and_loses_what_moves_the_cursor():
    assert (
        lines(f"not finished:\n  identity: {HOSTILE}\nthe end") == "not finished:\n  identity: a[/foo][bold]b\nthe end"
    )
