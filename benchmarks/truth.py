"""Does the verdict say what is true? Models of known truth, through the real scoring and verdict.

    python -m benchmarks.truth            all of it: some minutes
    python -m benchmarks.truth --trials 20

Prints a Markdown table of what was measured against what was promised; exits 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import sys

from tests.synthetic.truth import PARTS, as_markdown, measure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400, help="per case; 400 takes some minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only these (may be repeated)")
    arguments = parser.parse_args()
    rows = measure(arguments.trials, arguments.seed, arguments.part or tuple(PARTS))
    print(as_markdown(rows))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
