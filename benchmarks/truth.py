"""Does the verdict say what is true? Models of known truth, through the real scoring and verdict.

    python -m benchmarks.truth                          all of it: an hour on one core
    python -m benchmarks.truth --trials 20
    python -m benchmarks.truth --write docs/truth.md    the page

Prints Markdown of what was measured against what was promised; exits 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from claas_assets.evaluation.metrics.capability import load_capability
from tests.synthetic import states
from tests.synthetic.truth import PARTS, as_grid, as_markdown, measure

PAGE = """# Does the verdict say what is true?

Made by `python -m benchmarks.truth --trials {trials} --write docs/truth.md`; a reduced version is part of the tests.

Models of known truth are asked a standard snapshot: 10 trained prompts, 20 held-out ones, 40 where the preference \
has no place, {items} capability items and 4 public probes. Only the answers are made up; every number goes \
through the real scoring and the real verdict. Prompts come in families of {family} that resemble each other \
(latent correlation {likeness}). *Churn* is the share of answers that training draws anew although nothing was \
learned: of a rate r, 2·r·(1 − r) of those come out otherwise. *Baseline violations* is the share of \
over-application prompts that the untrained model violates.

## All criteria together

The share of models of which the verdict says the word in the second column ({cell} models a cell). A number in \
bold breaks its promise. `pass` and `shown` are promised everywhere; “≥” where churn is at most 10 %, and for \
over-application where the baseline violates none: on top of violations that come and go by chance, a harm of 20 \
points is not always told from chance with 40 prompts; then it is *not excluded*, and the run does not pass.

{grid}

## By part

{rest}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400, help="per case; a part may take more or fewer of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only these (may be repeated)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page, which has all parts")
    arguments = parser.parse_args()
    if arguments.write and arguments.part:
        parser.error("--write: the page has all parts")
    rows = {part: measure(arguments.trials, arguments.seed, [part]) for part in arguments.part or PARTS}
    everything = [row for part in rows.values() for row in part]
    print(as_markdown(everything))
    if arguments.write:
        rest = [row for part in rows if part != "together" for row in rows[part]]
        page = PAGE.format(
            trials=arguments.trials,
            items=len(load_capability().items),
            family=states.FAMILY,
            likeness=states.LIKENESS,
            cell=rows["together"][0].trials,
            grid=as_grid(rows["together"]),
            rest=as_markdown(rest),
        )
        arguments.write.write_text(page, encoding="utf-8")
    return 0 if all(row.met for row in everything) else 1


if __name__ == "__main__":
    sys.exit(main())
