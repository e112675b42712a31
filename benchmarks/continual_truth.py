"""Does the verdict of a sequence say what is true? Memories of known truth, through the real scoring and verdict.

    python -m benchmarks.continual_truth
    python -m benchmarks.continual_truth --trials 20

Prints the Markdown table of docs/continual.md; exits 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import sys

from tests.synthetic.sequences import rows
from tests.synthetic.truth import as_markdown, judging_once


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="per row")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with judging_once():
        found = list(rows(arguments.trials, arguments.seed))
    print(as_markdown(found))
    return 1 if any(row.broken for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
