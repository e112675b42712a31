"""`python -m claas_assets.evaluation.figures [FOLDER]`: draw made-up records (default: build/figures)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from claas_assets.evaluation.figures import draw, sparkline
from claas_assets.evaluation.figures.demo import demo


def main(arguments: Sequence[str]) -> int:
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(f"usage: python -m claas_assets.evaluation.figures [FOLDER]\n\n{__doc__}", file=sys.stderr)
        return 2
    folder = Path(arguments[0] if arguments else "build/figures")
    folder.mkdir(parents=True, exist_ok=True)
    made = demo()
    pictures = draw(made.baselines, made.steps, made.verdicts)
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
    curve = [step.eval.preference_compliance for step in made.steps["identity"].steps]
    (folder / "sparkline.svg").write_text(sparkline(curve, width=120, height=24), encoding="utf-8")
    print(f"{len(pictures)} pictures and a sparkline of made-up numbers in {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
