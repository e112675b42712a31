"""Does a newer preference undo an older one, on the embedded stack? The tables of docs/continual.md.

    python -m benchmarks.continual_study                       three preferences, two orders and a placebo, three seeds
    python -m benchmarks.continual_study --steps 6 --seeds 1,2,3 --results-dir data/evals/continual
    python -m benchmarks.continual_study --tables              of the runs that are there, without running any

Nine evaluations one after the other, which take an hour or more on two cores. Stopped, the same command goes on:
what is finished is not done again, and what is not is gone on with. Prints Markdown.
"""

from __future__ import annotations

import sys

from tests.synthetic.continual_study import main

if __name__ == "__main__":
    sys.exit(main(description=__doc__))
