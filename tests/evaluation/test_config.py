"""EvalConfig: the YAML and the class are one thing, and a mistake names key, value and what is allowed."""

from __future__ import annotations

from importlib.resources import files

import pytest
import yaml

from claas_assets.evaluation.config import (
    GATEWAY_TOKEN_VARIABLE,
    METRIC_PRESETS,
    METRICS,
    MODES,
    EvalConfig,
    gateway_token,
    load_config,
    mode_defaults,
)
from claas_assets.evaluation.errors import ConfigError

TINKER = {  # the values that the public harness has
    "mode": "tinker",
    "claas_url": "http://localhost:8080",
    "base_model": "Qwen/Qwen3-30B-A3B",
    "preferences": ["no_emoji", "concise", "identity"],
    "metrics": ["logprob", "compliance", "general", "collapse"],
    "num_steps": 20,
    "batch_size": 4,
    "collapse_steps": [0, 5, 10, 15, 19],
    "plots": True,
    "seed": 42,
    "lora_id_prefix": "eval",
    "openclaw_url": "http://localhost:18789",
}
TRAINING = {
    "learning_rate": 3e-5,
    "alpha": 0.5,
    "is_clip": 5.0,
    "max_grad_norm": 1.0,
    "kl_reg_weight": 0.0,
    "teacher_top_k": 100,
    "steps_per_batch": 4,
    "feedback_repetitions": 1,
}


def _yaml(*path: str) -> dict:
    values = yaml.safe_load(files("claas_assets.configs").joinpath(*path).read_text(encoding="utf-8"))
    return {key: value for key, value in values.items() if key not in ("defaults", "hydra", "output_dir")}


def _plain(config: EvalConfig) -> dict:
    return config.model_dump(mode="json", exclude={"output_dir"})


@pytest.mark.parametrize("mode", MODES)
def test_yaml_and_class_hold_the_same_values(mode):
    assert {**_yaml("base.yaml"), **mode_defaults(mode)} == _plain(EvalConfig(mode=mode))


def test_tinker_has_the_values_of_the_public_harness():
    config = _plain(EvalConfig(mode="tinker"))
    assert {key: config[key] for key in TINKER} == TINKER
    assert config["training"] == TRAINING


def test_a_nested_override_leaves_the_other_keys_as_the_mode_has_them():
    training = EvalConfig(mode="tinker", training={"alpha": 0.3}).training
    assert (training.alpha, training.learning_rate) == (0.3, 3e-5)


def test_the_run_id_is_the_last_component_of_output_dir():
    config = EvalConfig(output_dir="./data/evals/manual-run")
    assert (config.run_id, str(config.results_dir)) == ("manual-run", "data/evals")


@pytest.mark.parametrize(("preset", "metrics"), METRIC_PRESETS.items())
def test_metric_presets(preset, metrics):
    assert list(load_config({"metrics": preset}).metrics) == metrics
    assert list(load_config({"metrics": [preset]}).metrics) == metrics


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"num_stesp": 3}, ["num_stesp", "no such key", "num_steps"]),
        ({"training": {"lr": 1}}, ["training.lr", "no such key", "learning_rate"]),
        ({"training": {"alpha": 1.5}}, ["training.alpha", "1.5", "at most 1"]),
        ({"training": {"is_clip": 0.5}}, ["training.is_clip", "0.5", "at least 1"]),
        ({"training": {"teacher_top_k": 5}}, ["training.teacher_top_k", "5", "10"]),
        ({"training": {"learning_rate": 0}}, ["training.learning_rate", "above 0"]),
        ({"training": {"steps_per_batch": 0}}, ["training.steps_per_batch", "0"]),
        ({"mode": "cloud"}, ["mode", "cloud", *MODES]),
        ({"metrics": ["logprob", "speed"]}, ["metrics", "speed", *METRICS]),
        ({"metrics": []}, ["metrics", "at least 1"]),
        ({"preferences": []}, ["preferences", "at least 1"]),
        ({"preferences": ["a", "a"]}, ["preferences", "twice"]),
        ({"preferences": ["../etc"]}, ["preferences", "../etc"]),
        ({"num_steps": -1}, ["num_steps", "-1", "at least 0"]),
        ({"collapse_steps": [-1]}, ["collapse_steps", "-1"]),
        ({"output_dir": "data/evals/.."}, ["output_dir"]),
        ({"output_dir": "data/evals/a b"}, ["output_dir", "a b"]),
        ({"lora_id_prefix": "../x"}, ["lora_id_prefix", "../x"]),
        ({"claas_url": "localhost:8080"}, ["claas_url", "http://"]),
        ({"claas_url": "http://user:secret@host"}, ["claas_url"]),
        ({"mode": "local", "claas_url": None}, ["claas_url", "embedded", "local"]),
        ({"fail_on": "pass"}, ["fail_on", "pass", "marginal"]),
        ({"seed": 1.5}, ["seed", "1.5"]),
        ({"training": {"learning_rate": float("nan")}}, ["training.learning_rate"]),
    ],
)
def test_a_mistake_names_the_key_the_value_and_what_is_allowed(values, words):
    with pytest.raises(ConfigError) as caught:
        load_config(values)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("written", ["http://h:8080/v1", "http://h:8080/v1/", "http://h:8080/", "http://h:8080"])
def test_the_address_may_end_as_openai_clients_take_it(written):
    config = load_config({"claas_url": written, "openclaw_url": written})
    assert (config.claas_url, config.openclaw_url) == ("http://h:8080", "http://h:8080")


def test_every_mistake_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        load_config({"num_steps": -1, "batch_size": 0})
    assert "num_steps" in str(caught.value)
    assert "batch_size" in str(caught.value)


def test_the_gateway_token_is_asked_for_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv(GATEWAY_TOKEN_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=GATEWAY_TOKEN_VARIABLE):
        gateway_token(EvalConfig(mode="tinker"))
    assert gateway_token(EvalConfig(mode="tinker", openclaw_url=None)) is None
    monkeypatch.setenv(GATEWAY_TOKEN_VARIABLE, "s3cret")
    assert gateway_token(EvalConfig(mode="tinker")) == "s3cret"


def test_what_training_depends_on_is_frozen_and_the_rest_is_not():
    base = EvalConfig(output_dir="./x/run")
    changed = base.model_copy(update={"num_steps": 99, "thresholds": base.thresholds, "plots": False})
    assert changed.training_inputs() == base.training_inputs()
    assert EvalConfig(seed=1).training_inputs() != EvalConfig(seed=2).training_inputs()
    assert EvalConfig(training={"alpha": 0.1}).training_inputs() != EvalConfig().training_inputs()


# --- keys of the public harness -------------------------------------------------------------------


def test_the_public_harness_has_two_keys_of_training_at_the_top():
    config = load_config({"mode": "tinker", "steps_per_batch": 2, "feedback_repetitions": 3})
    assert (config.training.steps_per_batch, config.training.feedback_repetitions) == (2, 3)
    assert config.training.alpha == 0.5
    nested = load_config({"steps_per_batch": 2, "training": {"learning_rate": 1e-5, "steps_per_batch": 2}})
    assert (nested.training.steps_per_batch, nested.training.learning_rate) == (2, 1e-5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"steps_per_batch": 2, "training": {"steps_per_batch": 3}},
            "steps_per_batch is 2 and training.steps_per_batch",
        ),
        ({"steps_per_batch": 0}, "training.steps_per_batch"),
        ({"steps_per_batch": 2, "training": 5}, "training"),
    ],
)
def test_what_contradicts_itself_there_is_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        load_config(values)
