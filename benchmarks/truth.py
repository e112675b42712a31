"""Does the verdict say what is true? Models of known truth, through the real scoring and verdict.

    python -m benchmarks.truth                          all of it: a quarter of an hour on one quiet core
    python -m benchmarks.truth --trials 10
    python -m benchmarks.truth --write docs/truth.md    the page

Prints Markdown of what was measured against what was promised; exits 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from claas_assets.evaluation.metrics.capability import load_capability
from tests.synthetic import states
from tests.synthetic.truth import PARTS, PROMISES, Training, as_grid, as_markdown, measure, over_applying, perfect

PAGE = """# Does the verdict say what is true?

Made by `python -m benchmarks.truth --trials {trials} --write docs/truth.md`; a reduced version is part of the tests.

Models of known truth are asked a standard snapshot: 10 trained prompts, 20 held-out ones, 40 where the preference \
has no place, {items} capability items and 4 public probes. Only the answers are made up; every number goes \
through the real scoring and the real verdict. Prompts come in families of {family} that resemble each other \
(latent correlation {likeness}). *Baseline violations* is the share of over-application prompts that the untrained \
model violates.

*Churn* is the share of answers that training draws anew although nothing was learned: of a rate r, 2·r·(1 − r) of \
those come out otherwise, and the rate stays. (Flipping so many answers instead moves every rate towards a half: a \
model that violates one prompt of ten violates 18 of a hundred after flips of 10 %. That is harm, and the verdict \
says so in most of such runs.) A training that teaches nothing (learning rate 1e-6) was seen to change 3 of 48 \
items, which is a churn of 12 %.

Each share is followed by where it may be in the long run (Wilson, 95 %). In *italics*: the share is not as \
promised, and so few models leave doubt of it. In **bold**: the promise is broken.

## All criteria together

The share of models of which the verdict says the word in the second column. There are {cell} models in a cell; \
where churn is at most 10 %, {perfect} that learned and lost nothing, and {over} that over-apply. `pass` of an \
unchanged model and `shown` are promised everywhere, and “≥” where churn is at most 10 %.

{grid}

## By part

{rest}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=15, help="per case; a part may take more or fewer of them")
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
            cell=arguments.trials,
            perfect=arguments.trials * _times(perfect),
            over=arguments.trials * _times(over_applying),
            grid=as_grid(rows["together"]),
            rest=as_markdown(rest),
        )
        arguments.write.write_text(page, encoding="utf-8")
    return 1 if any(row.broken for row in everything) else 0


def _times(trained: Training) -> int:
    return next(promise.trials for promise in PROMISES if promise.trained is trained)


if __name__ == "__main__":
    sys.exit(main())
