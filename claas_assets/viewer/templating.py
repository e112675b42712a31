"""The Jinja environment: everything escaped, a missing name is an error, numbers and foreign text by filter."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.figures.captions import number, said
from claas_assets.evaluation.storage.names import check_run_id
from claas_assets.evaluation.storage.records import moment_of
from claas_assets.evaluation.verdict.criteria import is_told
from claas_assets.evaluation.verdict.outcome import grade_words, outcome_of, overall_of
from claas_assets.viewer.text import cut, plain, visible

STATIC = Path(__file__).with_name("static")

CRITERIA = {
    "obeyed": "obeys the preference",
    "compliance": "compliance with the preference",
    "degenerate_on_preference": "loops on the preference's prompts",
    "degenerate_elsewhere": "loops elsewhere",
    "logprob_margin": "logprob margin, increase in nats",
    "capability_ratio": "capability, four probes (ratio)",
    "capability_change": "capability items (change of harm)",
    "entropy_ratio": "token entropy (ratio)",
    "self_rouge_l": "likeness of samples (self-ROUGE-L)",
    "loops": "loops (rise of rep4)",
    "fixed_text_drift": "drift of fixed texts, nats a token",
    "over_application": "over-application (change of harm)",
}


@cache
def environment() -> Environment:
    env = Environment(
        loader=PackageLoader("claas_assets.viewer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "visible": visible, "plain": plain, "cut": cut, "num": _number, "said": said, "moment": _moment,
        "value": _value, "criterion": lambda name: CRITERIA.get(name, str(name).replace("_", " ")),
        "states": _states, "path": lambda text: Markup("/<wbr>").join(map(visible, str(text).split("/"))),
    }  # fmt: skip
    env.globals["outcome_of"] = outcome_of
    env.globals["overall_of"] = overall_of
    env.globals["is_told"] = is_told
    env.globals["grade_words"] = grade_words
    env.tests["sweep"] = _is_sweep
    return env


def _is_sweep(name: str | None) -> bool:
    """Whether a sweep has a page: any text may stand in a file."""
    try:
        return bool(name) and check_run_id(str(name)) == name
    except ConfigError:
        return False


def render(template: str, **context: Any) -> str:
    return environment().get_template(template).render(**context)


def _number(value: float | bool | None, *, signed: bool = False) -> str:
    """A number as the figures write it; an en dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and not signed else number(value, signed=signed)


def _moment(text: str | None) -> str:
    """An ISO time in UTC to the minute; what is no time as it stands."""
    if text is None:
        return "not recorded"
    try:
        return moment_of(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


def _value(value: Any) -> str:
    """A value of the configuration."""
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _states(xs: list[int]) -> str:
    """[0, 1, 2] → "baseline, 1, 2"."""
    shown = ["baseline" if x == 0 else str(x) for x in xs]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:3], "…", shown[-1]])
