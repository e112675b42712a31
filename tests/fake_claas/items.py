"""The right and the wrong answer to each capability item of the package, by prompt."""

from __future__ import annotations

from functools import cache

from claas_assets.evaluation.metrics.capability import load_capability


@cache
def capability_answers() -> dict[str, tuple[str, str]]:
    """prompt → (right, wrong)."""
    known = load_capability()
    return {item.prompt: (item.reference, item.wrong) for item in (*known.public_probes, *known.items)}
