"""Logprob pairs of a preference without any: made at the baseline, and the same ones at every later state."""

from __future__ import annotations

import json

from claas_assets.evaluation.storage.run_folder import PreferenceFolder


def sides(snapshot):
    return {t.key: t.messages[-1].content for t in snapshot.rollouts if t.metric == "logprob"}


def test_pairs_are_what_the_told_and_the_untold_model_answered(training):
    made = training(metrics=["logprob", "compliance"])
    made.preference = made.preference.model_copy(update={"logprob_pairs": None})
    made.run()
    folder = PreferenceFolder(made.folder)
    baseline, last = folder.baseline(), folder.steps()[-1].eval
    answers = {t.key: t.answer for t in baseline.rollouts}
    scored = sides(baseline)
    assert len(scored) == 12  # six held-out prompts, two sides each
    assert scored["logprob/0/positive"] == answers["compliance/ceiling/0"]
    assert scored["logprob/0/negative"] == answers["compliance/heldout_prompts/0"]
    assert sides(last) == scored
    assert baseline.logprob_margin.margin is not None
    assert last.logprob_margin.margin_delta_from_baseline is not None
    assert any(
        "logprob_pairs" in caveat for caveat in json.loads((made.folder / "metadata.json").read_text())["caveats"]
    )


def test_where_no_pair_can_be_made_it_is_said(training):
    made = training(metrics=["logprob", "compliance"], num_steps=1)
    verifier = {"_target_": "IdentityVerifier", "name": "nobody"}
    made.preference = made.preference.model_copy(update={"logprob_pairs": None, "verifier": verifier})
    made.run()
    for snapshot in (PreferenceFolder(made.folder).baseline(), PreferenceFolder(made.folder).steps()[0].eval):
        assert snapshot.logprob_margin is None
        assert snapshot.unmeasured["logprob_margin.margin"].kind == "unavailable"
