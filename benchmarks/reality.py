"""Does the verdict hold on a real model? Evaluations of known truth on the embedded stack.

    python -m benchmarks.reality                                   identity, all cases, one seed
    python -m benchmarks.reality --preference concise --case placebo --seeds 3
    python -m benchmarks.reality num_steps=3 snapshot_size=quick   further settings of claas-eval

Cases: `default`, the recipe as it is, of which nothing is promised; `nil`, a learning rate of 1e-6, which must be
"not learned" and harm nothing, and whose changed answers are the churn of a training that teaches nothing;
`broken`, 3e-3, which must be "harmful", and a guard or an extreme must see it; `placebo`, feedback that says
nothing about the preference, which must not be `shown`. Each is a run of `claas-eval` for every preference and
seed, in a folder of its own below `--results-dir`: run again, it goes on there. Prints a Markdown table; exits 1
where the verdict is not what is true. Half an hour or so an evaluation on two quiet cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from claas_assets.evaluation.config import preference_folder
from claas_assets.evaluation.preferences import preference_names
from tests.synthetic.reality import CASES, evaluate, table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shipped = preference_names(preference_folder(None))
    parser.add_argument("--preference", action="append", choices=shipped, help="may be repeated; default: identity")
    parser.add_argument("--case", action="append", choices=list(CASES), help="may be repeated; default: all")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N - 1")
    parser.add_argument("--results-dir", type=Path, default=Path("data/evals"))
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="further settings, the same for all runs")
    asked = parser.parse_args(arguments)
    found = [
        evaluate(case, preference, seed, asked.results_dir, asked.overrides)
        for preference in asked.preference or ["identity"]
        for case in asked.case or CASES
        for seed in range(asked.seeds)
    ]
    print(table(found))
    for evaluation in found:
        verdict = evaluation.run.verdict
        print(f"- **{verdict.preference}, {evaluation.case}, seed {evaluation.seed}**: {verdict.sentence}")
        print("".join(f"    - {line}\n" for line in (*verdict.alerts, *verdict.notes)), end="")
    return 1 if any(evaluation.wrong for evaluation in found) else 0


if __name__ == "__main__":
    sys.exit(main())
