"""Which recipe suits the embedded default model: `python -m benchmarks.embedded_sweep`.

Each point trains a fresh adapter for STEPS feedback steps on a real embedded stack, exactly as the loop does
but without measuring in between, and is then measured once, on *trained* prompts: how many obey, how many
answers are loops, and the drift of fixed texts (nats a token). A default must never be chosen on held-out
prompts: they are for the verdict. It prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.metrics.probes import ProbePlan, ScoringContext
from claas_assets.evaluation.metrics.scoring import gather_probes, score_snapshot
from claas_assets.evaluation.preferences.sequence import load_sequence
from claas_assets.evaluation.progress import silent
from claas_assets.evaluation.storage.journal import FeedbackIntent, FileJournal
from claas_assets.evaluation.storage.records import EvalSnapshot
from claas_assets.evaluation.training.asking import Asker
from claas_assets.evaluation.training.context import TrainingContext
from claas_assets.evaluation.training.feedback import give_feedback
from claas_assets.evaluation.training.rollouts import roll_out
from claas_assets.stack.supervise import ensure_running

STEPS = 6
GRID = ("0:3e-4:0.05:64", "0:3e-4:0.1:64", "0:3e-4:0.1:96", "0:3e-4:0.2:96", "0:4e-4:0.1:64", "0.5:5e-4:0.05:96")
MEASURED = ("compliance/probe_prompts", "collapse/fixed_text")


@dataclass(frozen=True)
class Point:
    """A recipe, as `alpha:learning rate:kl_reg_weight:rollout_max_tokens`, for one preference."""

    preference: str
    recipe: str

    def config(self) -> EvalConfig:
        alpha, learning_rate, kl_reg_weight, rollout_max_tokens = self.recipe.split(":")
        return EvalConfig(
            preferences=[self.preference],
            num_steps=STEPS,
            metrics=["compliance", "collapse"],
            rollout_max_tokens=int(rollout_max_tokens),
            training={
                "alpha": float(alpha), "learning_rate": float(learning_rate), "kl_reg_weight": float(kl_reg_weight)
            },
        )  # fmt: skip


async def measure(context: TrainingContext, lora_id: str, baseline: EvalSnapshot | None) -> EvalSnapshot:
    config = context.config
    plan = ProbePlan(
        preference=context.sequence.first,
        size="full",
        step=STEPS,
        collapse_due=True,
        seed=config.seed,
        max_tokens=config.probe_max_tokens,
        temperature=config.probe_temperature,
    )
    probes = [probe for probe in gather_probes(config.metrics, plan) if probe.key.startswith(MEASURED)]
    transcripts, _ = await Asker(context.client, lora_id, seed=config.seed).ask(probes, lambda done, total: None)
    return score_snapshot(
        transcripts, ScoringContext(context.sequence.first, baseline), size="full", metrics=config.metrics
    )


async def trained(context: TrainingContext, lora_id: str, folder: Path) -> None:
    journal = FileJournal(folder / lora_id.replace("/", "-"))
    for step in range(STEPS):
        batch = await roll_out(context, lora_id, step)
        await give_feedback(context, lora_id, FeedbackIntent(step=step, batch=batch, updates_before=None), journal)


async def sweep(points: list[Point], folder: Path) -> None:
    url = ensure_running(EvalConfig().base_model, on_progress=lambda text: None)
    columns = ("preference", "α", "learning rate", "λ", "rollout tokens", "obeys", "loops", "fixed texts (nats)", "s")
    print(f"| {' | '.join(columns)} |")
    print("| --- " * 9 + "|")
    baselines: dict[str, EvalSnapshot] = {}
    for point in points:
        config, began = point.config(), time.monotonic()
        sequence = load_sequence(point.preference, config.preference_folder())
        context = TrainingContext.at(url, config=config, sequence=sequence, folder=folder, report=silent)
        async with context.client as client:
            wanted = f"sweep/{point.preference}-{time.time_ns()}"
            lora_id = await client.init_adapter(wanted, config.base_model, config.lora)
            if point.preference not in baselines:
                baselines[point.preference] = await measure(context, lora_id, None)
            await trained(context, lora_id, folder)
            after = await measure(context, lora_id, baselines[point.preference])
            await client.delete_adapter(lora_id)
        print(row(point, baselines[point.preference], after, time.monotonic() - began), flush=True)


def row(point: Point, before: EvalSnapshot, after: EvalSnapshot, seconds: float) -> str:
    then, now = before.stats.compliance, after.stats.compliance
    collapse = after.stats.collapse
    assert then is not None
    assert now is not None
    assert collapse is not None
    degenerate = after.stats.degenerate
    assert degenerate is not None
    trained, untrained = now.sets["probe_prompts"], then.sets["probe_prompts"]
    cells = [
        point.preference,
        *point.recipe.split(":"),
        f"{sum(untrained.obeyed.values())} → {sum(trained.obeyed.values())} of {trained.n}",
        f"{sum(degenerate.on_preference.scores.values()):.0f}",
        f"{collapse.fixed_text_drift:+.2f}",
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preferences", nargs="+", default=["identity"])
    parser.add_argument(
        "--grid", nargs="+", metavar="RECIPE", default=list(GRID), help="α:lr:λ:tokens, such as 0:3e-4:0.1:96"
    )
    parser.add_argument("--folder", type=Path, default=Path("build/sweep"), help="journals go there")
    arguments = parser.parse_args()
    points = [Point(name, recipe) for name in arguments.preferences for recipe in arguments.grid]
    asyncio.run(sweep(points, arguments.folder))


if __name__ == "__main__":
    main()
