"""What is frozen when an adapter is made: going on otherwise is refused with the difference."""

from __future__ import annotations

from typing import Any

import pytest

from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.storage.records import AdapterRecord
from claas_assets.evaluation.training.adapter import check_frozen
from tests.synthetic import transcripts as synthetic
from tests.synthetic.records import adapter_record

ASKED = synthetic.preference(held_out=2)


def made_with(**values: Any) -> AdapterRecord:
    config = EvalConfig(output_dir="./x/run", **values)
    return adapter_record(
        ASKED.name, "run", config=config.model_dump(mode="json"), training_inputs=config.training_inputs(),
        preference_text=ASKED.model_dump(mode="json"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "then", "now"),
    [
        ("probe_max_tokens", 32, 200),
        ("probe_temperature", 0.0, 0.7),
        ("snapshot_size", "quick", "standard"),
        ("metrics", ["compliance", "logprob"], ["compliance"]),
    ],
)
def test_measuring_otherwise_is_refused_with_the_key_and_both_values_and_nothing_else(
    key: str, then: Any, now: Any
) -> None:
    with pytest.raises(RunFolderError) as caught:
        check_frozen(
            made_with(**{key: then}), EvalConfig(output_dir="./x/run", **{key: now}), PreferenceSequence.of(ASKED)
        )
    assert f": {key}: {then!r} then, {now!r} now. Use another output_dir" in str(caught.value)


def test_of_many_prompts_only_the_one_that_differs_is_named() -> None:
    asked = synthetic.preference(held_out=2, trained=12)
    prompts = [*asked.probe_prompts[:5], "Who would you say you are?", *asked.probe_prompts[6:]]
    changed = asked.model_copy(update={"probe_prompts": tuple(prompts)})
    made = made_with().model_copy(update={"preference_text": asked.model_dump(mode="json")})
    with pytest.raises(RunFolderError) as caught:
        check_frozen(made, EvalConfig(output_dir="./x/run"), PreferenceSequence.of(changed))
    said = str(caught.value)
    assert f"probe_prompts: {asked.probe_prompts[5]!r} then, 'Who would you say you are?' now; the other 11" in said
    assert asked.probe_prompts[4] not in said.replace(asked.probe_prompts[5], "")


def test_of_nested_settings_only_the_one_that_differs_is_named() -> None:
    with pytest.raises(RunFolderError) as caught:
        check_frozen(
            made_with(), EvalConfig(output_dir="./x/run", training={"alpha": 0.25}), PreferenceSequence.of(ASKED)
        )
    assert ": training.alpha: 0.0 then, 0.25 now. " in str(caught.value)


def test_metrics_in_another_order_and_more_steps_go_on() -> None:
    then = made_with(metrics=["logprob", "compliance"], num_steps=3)
    check_frozen(
        then,
        EvalConfig(output_dir="./x/run", metrics=["compliance", "logprob"], num_steps=9),
        PreferenceSequence.of(ASKED),
    )


def test_a_run_from_before_a_key_was_there_was_measured_as_it_was_then() -> None:
    then = made_with(probe_temperature=0.0)
    older = then.model_copy(
        update={"config": {k: v for k, v in then.config.items() if k not in ("probe_temperature", "snapshot_size")}}
    )
    check_frozen(older, EvalConfig(output_dir="./x/run", probe_temperature=0.0), PreferenceSequence.of(ASKED))
    with pytest.raises(RunFolderError, match=r"probe_temperature: 0\.0 then, 0\.7 now"):
        check_frozen(older, EvalConfig(output_dir="./x/run", probe_temperature=0.7), PreferenceSequence.of(ASKED))
