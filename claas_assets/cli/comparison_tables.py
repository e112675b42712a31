"""A comparison on the terminal. Everything that is not ours is shown through `one_line`."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from claas_assets.cli.foreign_text import cell, cut
from claas_assets.evaluation.comparison.comparison import Comparison, PreferenceComparison
from claas_assets.evaluation.comparison.pairing import Answer, Pair, PairedDifference
from claas_assets.evaluation.comparison.sweeps import PreferenceSweep, Recipe, SeedMean, SweepComparison, short
from claas_assets.evaluation.storage.records import Criterion, Interval
from claas_assets.evaluation.terminal_text import one_line
from claas_assets.evaluation.verdict.criteria import is_told
from claas_assets.evaluation.verdict.outcome import grade_words, overall_of

_STYLES = {
    "pass": "green", "marginal": "yellow", "fail": "red", "inconclusive": "magenta", "unfinished": "magenta",
    "unavailable": "dim",
}  # fmt: skip
_LEVELS = {"obeyed"}  # the value of every other criterion with an interval is a change
_NARROWEST = 20  # of a column with so long a heading; a narrow terminal folds what is longer


def show(result: Comparison | SweepComparison, console: Console | None = None) -> None:
    console = console or Console()
    parts = _comparison(result) if isinstance(result, Comparison) else _sweep(result, console.width)
    for part in parts:
        console.print(part, highlight=False)


def _comparison(comparison: Comparison) -> Iterator[RenderableType]:
    names = labels([run.run_id for run in comparison.runs])
    if len(names) > 1:
        yield from _configuration(comparison, names)
    for preference in comparison.preferences:
        yield _criteria(preference, names)
        if preference.scored:
            yield Text(f"  {one_line(preference.scored)}\n", "dim")
        for pair in preference.pairs:
            yield from _pair(pair, names)


def labels(run_ids: Sequence[str]) -> list[str]:
    """The run ids; one that is there twice is numbered."""
    return [
        one_line(run_id) + (f" ({run_ids[:index].count(run_id) + 1})" if run_ids.count(run_id) > 1 else "")
        for index, run_id in enumerate(run_ids)
    ]


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left")
    for column in columns:
        # Folded, never cut: what tells two runs or recipes apart stands at the end of their names.
        table.add_column(Text(column), overflow="fold", min_width=min(_NARROWEST, _width(column)))
    return table


def _configuration(comparison: Comparison, names: Sequence[str]) -> Iterator[RenderableType]:
    if not comparison.configuration:
        yield Text("The configuration is the same in all of these runs.\n")
        return
    table = _table("What differs in the configuration", ["key", *names])
    for row in comparison.configuration:
        first = row.values[0]
        table.add_row(row.key, *(cell(str(v), 60, "bold yellow" if v != first else "") for v in row.values))
    yield table


def _criteria(preference: PreferenceComparison, names: Sequence[str]) -> Table:
    table = _table(preference.preference, ["criterion", *names])
    for row in preference.rows:
        table.add_row(row.criterion, *(_criterion(row.criterion, criterion) for criterion in row.cells))
    table.add_section()
    cells = zip(preference.outcomes or preference.overall, preference.overall, strict=True)
    table.add_row("outcome", *(Text(said or "–", style=_STYLES.get(overall or "", "")) for said, overall in cells))
    return table


def _criterion(name: str, criterion: Criterion | None) -> Text:
    if criterion is None:
        return Text("–")
    evidence = f", {criterion.evidence.replace('_', ' ')}" if criterion.evidence else ""
    text = Text(f"{_level_or_change(name, criterion)}\n")
    text.append(grade_words(criterion), style=_STYLES[criterion.grade])
    text.append(evidence)
    if criterion.value is None and criterion.reason:
        text.append(f"\n{cut(criterion.reason, 160)}", style="dim")
    return text


def _level_or_change(name: str, criterion: Criterion) -> str:
    """A level is shown with its change: the interval is that of the change, never of the level."""
    if criterion.value is None:
        return "–"
    if criterion.change is None or name not in _LEVELS:
        return _number(criterion.value) + _range(criterion.interval)
    return f"{_number(criterion.value)} ({criterion.change:+.2f}{_range(criterion.interval)})"


def _pair(pair: Pair, names: Sequence[str]) -> Iterator[RenderableType]:
    yield Text(f"{names[pair.run]} against {names[pair.reference]}", style="bold")
    for obstacle in pair.obstacles:
        yield Text(
            f"  must not be compared: {one_line(obstacle.sentence)}\n    ({', '.join(obstacle.criteria)})", "red"
        )
    table = _table("", ["criterion", "difference", "n", "evidence"])
    for name, difference in pair.differences.items():
        table.add_row(_marked(name), *_difference(difference))
    if pair.differences:
        yield table
    yield from _flips(pair, names)


def _marked(name: str) -> str:
    return f"{name} (does not decide)" if is_told(name) else name


def _difference(difference: PairedDifference) -> list[Text]:
    if difference.change is None:
        return [Text("–"), Text("–"), cell(difference.reason or "", 300, "dim")]
    said = f"{difference.change:+.2f}{_range(difference.interval)}"
    floor = f", floor {difference.floor:.2f}" if difference.floor is not None else ""
    return [Text(said), Text(str(difference.n)), Text(f"{(difference.evidence or '–').replace('_', ' ')}{floor}")]


def _flips(pair: Pair, names: Sequence[str]) -> Iterator[RenderableType]:
    units = pair.units
    if pair.flips is None:
        yield Text(f"  {units}: not compared: {one_line(pair.no_flips_because or '')}\n", "dim")
        return
    yield Text(f"  {len(pair.flips)} of {pair.prompts_in_common} {units} flipped{':' if pair.flips else ''}")
    if pair.flips:
        table = _table("", ["prompt", names[pair.reference], names[pair.run]])
        for flip in pair.flips:
            table.add_row(cell(flip.prompt, 120), _answer(flip.reference), _answer(flip.run))
        yield table
    yield Text("")


def _answer(answer: Answer) -> Text:
    text = Text("pass " if answer.passed else "fail ", style="green" if answer.passed else "red")
    text.append(cut(answer.text, 200) if answer.text is not None else "(not recorded)", style="default")
    return text


# --- sweeps ---------------------------------------------------------------------------------------


def _sweep(sweep: SweepComparison, width: int) -> Iterator[RenderableType]:
    swept = ", ".join(sweep.swept) or "nothing but the seed"
    yield Text(f"Sweep {one_line(sweep.sweep_id or '(runs as named)')}: swept {swept}", style="bold")
    for preference in sweep.preferences:
        yield from _recipes(preference, width)
        yield from _gains(preference)
        for recipe in preference.recipes:
            yield from _remarks(recipe)


def _recipes(preference: PreferenceSweep, width: int) -> Iterator[Table]:
    """A column a recipe, in as many tables as the width needs. Mean over seeds, its interval, every seed's value."""
    names = list(dict.fromkeys(name for recipe in preference.recipes for name in recipe.criteria))
    criteria = [_marked(name).replace(" (", "\n(") for name in names]
    first = max(map(_width, [*criteria, "criterion"]))
    headings = [_heading(recipe) for recipe in preference.recipes]
    widest = max(_NARROWEST, *map(_width, headings))
    at_once = max(1, (width - first - 4) // (widest + 3))
    for start in range(0, len(headings), at_once):
        recipes = preference.recipes[start : start + at_once]
        table = _table(preference.preference, ["criterion", *headings[start : start + at_once]])
        table.columns[0].no_wrap = True
        for name, said in zip(names, criteria, strict=True):
            table.add_row(said, *(_seed_mean(recipe.criteria.get(name)) for recipe in recipes))
        table.add_section()
        table.add_row("outcome", *(_counts(recipe.outcomes) for recipe in recipes))
        yield table


def _gains(preference: PreferenceSweep) -> Iterator[Table]:
    """Of recipes with a control run of the same configuration: what the feedback's content did, seed by seed."""
    gained = [(r, control, means) for r in preference.recipes for control, means in r.gains.items()]
    if not gained:
        return
    headings = [f"{_heading(recipe)}\nover {control}" for recipe, control, _ in gained]
    table = _table(f"{preference.preference}: gain over a control run", ["criterion", *headings])
    for name in dict.fromkeys(name for _, _, means in gained for name in means):
        table.add_row(_marked(name), *(_seed_mean(means.get(name)) for _, _, means in gained))
    yield table


def _heading(recipe: Recipe) -> str:
    """A line a setting; a key without its section where no other swept key ends alike."""
    ends = [key.rpartition(".")[2] for key in recipe.settings]
    names = {key: end if ends.count(end) == 1 else key for key, end in zip(recipe.settings, ends, strict=True)}
    lines = [one_line(f"{names[key]}={short(value)}") for key, value in recipe.settings.items()]
    return "\n".join(lines) or recipe.label


def _width(heading: str) -> int:
    return max(map(len, heading.split("\n")))


def _seed_mean(mean: SeedMean | None) -> Text:
    if mean is None:
        return Text("–")
    text = Text("–" if mean.mean is None else f"{_number(mean.mean)}{_range(mean.interval)}")
    if mean.interval is None:
        text.append(f"\n{mean.claim}", style="dim")
    if mean.seeds:
        text.append("\n" + "  ".join(f"{seed.seed}: {_number(seed.value)}" for seed in mean.seeds), style="dim")
    return text


def _counts(outcomes: dict[str, int]) -> Text:
    text = Text()
    for name, count in sorted(outcomes.items()):
        text.append(f"{count} {name} ", style=_STYLES.get(overall_of(name), ""))
    return text


def _remarks(recipe: Recipe) -> Iterator[RenderableType]:
    for obstacle in recipe.obstacles:
        yield Text(f"  {one_line(recipe.label)}: must not be compared: {one_line(obstacle.sentence)}", "red")
    reasons: dict[str, Any] = {}
    for criterion in recipe.criteria.values():
        reasons |= criterion.left_out
    for run_id, reason in reasons.items():
        yield Text(f"  {one_line(run_id)} is left out of a mean: {cut(reason, 200)}", "yellow")


def _number(value: float) -> str:
    return f"{value:.3g}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f" [{interval.lower:.2f}, {interval.upper:.2f}]"
