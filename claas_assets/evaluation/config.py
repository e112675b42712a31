"""`EvalConfig`: what an evaluation is, in Python, in YAML, in the launchpad and in `metadata.json`.

The class defaults are those of `mode: embedded`; for another mode the values of
`configs/mode/<mode>.yaml` take their place unless given. A test holds YAML and class together.
"""

from __future__ import annotations

import math
import os
import sysconfig
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.metrics import METRIC_NAMES
from claas_assets.evaluation.mistakes import with_value
from claas_assets.evaluation.storage.addresses import split_output, without_password
from claas_assets.evaluation.storage.names import check_lora_prefix, check_preference_name, check_run_id, new_run_id
from claas_assets.evaluation.storage.recorded_config import measuring_inputs
from claas_assets.evaluation.storage.records import Control, SnapshotScale
from claas_assets.evaluation.storage.stores import Place, place_at

Mode = Literal["embedded", "local", "tinker", "modal"]
FailOn = Literal["fail", "marginal", "inconclusive"]
MODES: tuple[str, ...] = get_args(Mode)
METRICS = METRIC_NAMES
_IGNORED: dict[str, tuple[str, ...]] = {
    "tinker": (
        "lora.alpha", "training.is_clip", "training.max_grad_norm", "training.kl_reg_weight", "training.teacher_top_k",
    ),
}  # fmt: skip
"""Keys that a mode's deployment takes and does not use."""
METRIC_PRESETS: dict[str, list[str]] = {"all": list(METRICS), "quick": ["logprob"]}
PUBLIC_TOP_LEVEL = ("steps_per_batch", "feedback_repetitions")
"""Keys of `training` that configurations of the public harness may have at the top."""
GATEWAY_TOKEN_VARIABLE = "OPENCLAW_GATEWAY_TOKEN"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainingConfig(_Section):
    """Hyperparameters sent with every feedback item (contract of `/v1/feedback`)."""

    learning_rate: float = Field(default=3e-4, gt=0, description="AdamW learning rate")
    alpha: float = Field(default=0.0, ge=0, le=1, description="divergence: 0 = KL(teacher‖student), 1 = reverse")
    is_clip: float = Field(default=5.0, ge=1, le=20, description="upper bound of the importance ratio")
    max_grad_norm: float = Field(default=1.0, ge=0, description="gradient norm clip; 0 = none")
    kl_reg_weight: float = Field(default=0.1, ge=0, le=1, description="weight of the drift term")
    teacher_top_k: int = Field(default=100, ge=10, le=100, description="teacher tokens kept per position")
    steps_per_batch: int = Field(default=4, ge=1, le=64, description="gradient updates made on one batch")
    feedback_repetitions: int = Field(default=1, ge=1, le=16, description="how often the teacher sees the feedback")


class LoraConfig(_Section):
    r: int = Field(default=32, ge=4, le=128, description="rank")
    alpha: int = Field(default=64, ge=8, le=256, description="scale: the update is multiplied by alpha / r")


class Threshold(_Section):
    """Two bounds of one criterion: pass, then marginal, then fail."""

    pass_at: float
    fail_at: float


def _bounds(pass_at: float, fail_at: float) -> Any:
    return Field(default=Threshold(pass_at=pass_at, fail_at=fail_at))


HIGH_IS_GOOD = ("obeyed", "entropy_ratio", "logprob_margin", "capability_ratio")
"""Criteria of which the pass is above the fail; of the others it is below."""
_SCALES = {
    "obeyed": (0, 1), "self_rouge_l": (0, 1), "loops": (-1, 1), "entropy_ratio": (0, math.inf),
    "capability_ratio": (0, math.inf),
}  # fmt: skip


class Thresholds(_Section):
    """Bounds of the verdict's criteria, in the unit of each. Raises where they contradict themselves."""

    obeyed: Threshold = _bounds(0.8, 0.5)
    """Share of held-out prompts: learned, partly learned."""

    harm_margin: float = Field(default=0.15, gt=0, lt=1)
    """A guard passes where a larger share of units harmed than this is excluded."""

    entropy_ratio: Threshold = _bounds(0.6, 0.4)
    self_rouge_l: Threshold = _bounds(0.85, 0.95)
    loops: Threshold = _bounds(0.2, 0.4)
    """Rise of repeated 4-grams on neutral prompts."""

    fixed_text_drift: Threshold = _bounds(0.15, 0.3)
    """Nats a token by which fixed texts became less likely."""

    logprob_margin: Threshold = _bounds(2.0, 0.5)
    """Nats; told, never deciding."""

    capability_ratio: Threshold = _bounds(0.9, 0.7)
    """Of the four public probes; told, never deciding."""

    @model_validator(mode="after")
    def _consistent(self) -> Thresholds:
        for name in type(self).model_fields:
            bounds = getattr(self, name)
            if not isinstance(bounds, Threshold):
                continue
            high, low = _SCALES.get(name, (-math.inf, math.inf))[::-1]
            outside = [value for value in (bounds.pass_at, bounds.fail_at) if not low <= value <= high]
            if outside:
                raise ValueError(f"{name}: {outside[0]:g} is outside its scale, {low:g} to {high:g}")
            gap = bounds.pass_at - bounds.fail_at
            if (gap if name in HIGH_IS_GOOD else -gap) < 0:
                wanted = "at least" if name in HIGH_IS_GOOD else "at most"
                raise ValueError(
                    f"{name}: pass_at is {bounds.pass_at:g} and must be {wanted} fail_at, {bounds.fail_at:g}"
                )
        return self

    @classmethod
    def recorded(cls, values: dict[str, Any]) -> Thresholds:
        """Those that a run froze; bounds of criteria that are no more are left out."""
        return cls(**{name: value for name, value in values.items() if name in cls.model_fields})


class EvalConfig(_Section):
    """One evaluation. Frozen; raises `ConfigError` through `load_config`, `ValidationError` directly."""

    mode: Mode = Field(default="embedded", description="kind of deployment")
    claas_url: str | None = Field(default=None, description="address of CLaaS; null: find or start one (embedded)")
    openclaw_url: str | None = Field(default=None, description="OpenClaw gateway for chat; null: CLaaS directly")
    allow_unproven_gateway: bool = Field(
        default=False, description="go on through a gateway that may serve other weights; the verdict says so"
    )
    base_model: str = Field(
        default="HuggingFaceTB/SmolLM2-135M-Instruct", min_length=1, description="model the adapter is made for"
    )
    preferences: tuple[str, ...] = Field(
        default=("numbered", "concise", "identity"), min_length=1, description="preferences to evaluate"
    )
    metrics: tuple[str, ...] = Field(
        default=("logprob", "compliance", "general", "collapse"), min_length=1, description="or: all, quick"
    )
    num_steps: int = Field(default=20, ge=0, le=10_000, description="feedback steps; 0 measures only")
    batch_size: int = Field(default=4, ge=1, le=64, description="rollouts of one feedback step")
    collapse_steps: tuple[int, ...] = Field(default=(0, 5, 10, 15, 19), description="steps that measure collapse")
    snapshot_steps: tuple[int, ...] = Field(default=(), description="steps with a full snapshot, beside the last")
    plots: bool = Field(default=True, description="draw the figures")
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="fixes all that is random on our side")
    control: Control = Field(
        default="none", description="feedback that says nothing (placebo) or another preference's (shuffled)"
    )
    lora_id: str | None = Field(
        default=None, description="audit this adapter, which exists: nothing is trained; null: make a fresh one"
    )
    lora_id_prefix: str = Field(default="eval", description="adapters are named <prefix>/<preference>-<run id>")
    output_dir: str = Field(
        default_factory=lambda: f"./data/evals/{new_run_id()}",
        description="run folder, here or at an fsspec address; its name is the run id",
    )
    sweep_id: str | None = Field(default=None, description="the sweep that this run is part of; null: of none")
    preferences_dir: str | None = Field(default=None, description="folder of preference files; null: ./preferences")
    fail_on: FailOn | None = Field(default=None, description="exit 3 at such a verdict or a worse one")
    stop_on_harm: bool = Field(
        default=False, description="end where loops or an extreme collapse alert stand at two snapshots in a row"
    )
    stop_when_learned: int | None = Field(
        default=None, ge=1, le=10_000, description="end when the trained prompts obeyed at so many steps in a row"
    )
    max_minutes: float | None = Field(
        default=None, gt=0, description="end before a preference takes longer; null: never"
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="end before a preference generates more tokens; null: never"
    )
    max_concurrency: int = Field(default=32, ge=1, le=256, description="requests in flight per deployment")
    parallel_preferences: int = Field(default=3, ge=1, le=16, description="preferences evaluated side by side")
    deployment_timeout_s: float = Field(
        default=300, ge=0, le=86_400, description="how long to wait for a deployment that went away"
    )
    rollout_temperature: float = Field(default=0.7, ge=0, le=2, description="sampling of the trained answers")
    rollout_max_tokens: int = Field(default=96, ge=8, le=32768, description="token limit of a rollout")
    probe_max_tokens: int = Field(default=160, ge=8, le=32768, description="token limit of a probe")
    probe_temperature: float = Field(default=0.7, ge=0, le=2, description="sampling of the probes; seeded above 0")
    keep_steps: tuple[int, ...] = Field(
        default=(), description="steps whose adapter is kept in the run folder, with the last; none: no adapter is"
    )
    snapshot_size: SnapshotScale = Field(
        default="standard", description="what a full snapshot asks; quick: 20 over-application prompts, 48 items"
    )
    lora: LoraConfig = LoraConfig()
    training: TrainingConfig = TrainingConfig()
    thresholds: Thresholds = Thresholds()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_mode(cls, values: Any) -> Any:
        """Values of the mode's YAML file where none were given; the embedded ones are the class's."""
        if not isinstance(values, dict) or values.get("mode", "embedded") in ("embedded", None):
            return values
        if values["mode"] not in MODES:
            return values  # the field itself says what is allowed
        return _overlay(mode_defaults(values["mode"]), values)

    @model_validator(mode="before")
    @classmethod
    def _take_public_keys(cls, values: Any) -> Any:
        """The public harness has two keys of training at the top: there they mean what they mean in `training`.

        Pydantic runs the last of these first: the mode's values do not stand beside these yet.
        """
        given = {key: values[key] for key in PUBLIC_TOP_LEVEL if key in values} if isinstance(values, dict) else {}
        if not given:
            return values
        training = values.get("training", {})
        nested = training.model_dump(exclude_unset=True) if isinstance(training, BaseModel) else training
        if not isinstance(nested, dict):
            return values  # the field itself says what is allowed
        for key, value in given.items():
            if nested.get(key, value) != value:
                raise ValueError(f"{key} is {value!r} and training.{key} is {nested[key]!r}: give one of them")
        others = {key: value for key, value in values.items() if key not in given}
        return {**others, "training": {**nested, **given}}

    @field_validator("metrics", mode="before")
    @classmethod
    def _expand_presets(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            return value
        expanded = [metric for name in names for metric in METRIC_PRESETS.get(name, [name])]
        unknown = [name for name in expanded if name not in METRICS]
        if unknown:
            known = ", ".join((*METRICS, *METRIC_PRESETS))
            raise ValueError(f"there is no metric {', '.join(map(str, unknown))}. Metrics and presets: {known}")
        return list(dict.fromkeys(expanded))

    @field_validator("preferences")
    @classmethod
    def _check_preferences(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                check_preference_name(name)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        if len(set(value)) != len(value):
            raise ValueError("a preference is named twice")
        return value

    @field_validator("lora_id_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        try:
            return check_lora_prefix(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @field_validator("collapse_steps", "snapshot_steps", "keep_steps")
    @classmethod
    def _check_steps(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(step < 0 for step in value):
            raise ValueError("steps are counted from 0: a negative one does not exist")
        return value

    @field_validator("claas_url", "openclaw_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")) or "@" in value:
            raise ValueError("an address begins with http:// or https:// and holds no user name or password")
        try:
            url = urlsplit(value)
            usable = bool(url.hostname) and (url.port or 1) > 0 and value.isascii() and value.isprintable()
        except ValueError:  # a port that is none, brackets without end
            usable = False
        if not usable or url.query or url.fragment:
            raise ValueError("an address is http://host:port, perhaps with a path")
        return value.rstrip("/").removesuffix("/v1")

    @field_validator("output_dir")
    @classmethod
    def _check_output_dir(cls, value: str) -> str:
        try:
            check_run_id(split_output(value)[1])
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("sweep_id")
    @classmethod
    def _check_sweep_id(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return check_run_id(value)
        except ConfigError as error:
            raise ValueError("letters, digits, '.', '_' and '-', beginning with a letter or digit") from error

    @model_validator(mode="after")
    def _check_addresses(self) -> EvalConfig:
        if self.claas_url is None and self.mode != "embedded":
            raise ValueError(f"claas_url is null, which only mode embedded allows (mode is {self.mode})")
        return self

    @field_validator("lora_id")
    @classmethod
    def _check_lora_id(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip("/ ") or not value.isprintable()):
            raise ValueError("the id of an adapter as the deployment lists it (GET /v1/lora)")
        return value

    @model_validator(mode="before")
    @classmethod
    def _audit_in_one_step(cls, values: Any) -> Any:
        """An audit measures the base model and the adapter, once: there are no feedback steps to count."""
        if isinstance(values, dict) and values.get("lora_id") is not None:
            return {**values, "num_steps": 1, "collapse_steps": [0], "snapshot_steps": []}
        return values

    @model_validator(mode="after")
    def _check_that_it_trains(self) -> EvalConfig:
        trains = self.lora_id is None and self.num_steps > 0
        if self.mode == "tinker" and self.training.alpha == 0 and trains:
            raise ValueError(
                "training.alpha=0 trains nothing in mode tinker, where alpha is the weight of the advantage that is "
                "trained on: set it above 0 (the mode's default is 0.5), or num_steps=0 to measure only"
            )
        return self

    def without_effect(self) -> dict[str, str]:
        """Dotted keys that this mode's deployment ignores → the reason."""
        return dict.fromkeys(_IGNORED.get(self.mode, ()), f"a deployment in mode {self.mode} ignores it")

    def recorded(self) -> dict[str, Any]:
        """As `metadata.json` has it: null where a value has no effect in this mode."""
        values = self.model_dump(mode="json")
        for key in self.without_effect():
            section, name = key.split(".")
            values[section][name] = None
        return values

    @property
    def run_id(self) -> str:
        return split_output(self.output_dir)[1]

    @property
    def results_dir(self) -> Place:
        return place_at(self.results_address)

    @property
    def results_address(self) -> str:
        """`results_dir` as text."""
        return split_output(self.output_dir)[0]

    @property
    def run_folder(self) -> Place:
        return place_at(self.output_dir)

    def preference_folder(self) -> Path:
        return preference_folder(self.preferences_dir)

    def training_inputs(self) -> dict[str, Any]:
        """What training depends on: frozen in `metadata.json` when the adapter is made.

        `num_steps` is not part of it: it may grow. Addresses are not: a deployment may move.
        """
        names = {
            "mode", "base_model", "lora_id", "control", "batch_size", "seed", "lora", "training",
            "rollout_temperature", "rollout_max_tokens",
        }  # fmt: skip
        return self.model_dump(mode="json", include=names)

    def measuring_inputs(self) -> dict[str, Any]:
        """How states are measured: as frozen as training is, since what is measured otherwise is not comparable."""
        return measuring_inputs(self.model_dump(mode="json"))


def preference_folder(named: str | None) -> Path:
    """`named`; null: `./preferences` where it exists, else the shipped ones: beside the package (an editable install),
    or in the environment's `share/claas_assets/preferences` (a wheel)."""
    if named:
        return Path(named)
    here, beside = Path("preferences"), Path(__file__).resolve().parents[2] / "preferences"
    installed = Path(sysconfig.get_path("data")) / "share" / "claas_assets" / "preferences"
    return next((folder for folder in (here, beside) if folder.is_dir()), installed)


@cache
def mode_defaults(mode: str) -> Mapping[str, Any]:
    """The values of `configs/mode/<mode>.yaml`."""
    text = (files("claas_assets.configs") / "mode" / f"{mode}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def _overlay(defaults: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in given.items():
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if nested else value
    return merged


def load_config(values: dict[str, Any]) -> EvalConfig:
    """Build an `EvalConfig`; every mistake in one `ConfigError` naming key, value and what is allowed."""
    try:
        return EvalConfig(**values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from error


def _explain(problem: Any) -> str:
    """One line per mistake: the key, what is allowed, what is there."""
    key = ".".join(str(part) for part in problem["loc"]) or "configuration"
    if problem["type"] == "extra_forbidden":
        return f"{key}: there is no such key. Keys: {', '.join(_keys_beside(problem['loc']))}"
    said = with_value(problem)
    return without_password(f"{key}: {said}" if problem["loc"] else said)


def _keys_beside(location: tuple[Any, ...]) -> list[str]:
    model: Any = EvalConfig
    for part in location[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else model
    return list(model.model_fields)


def gateway_token(config: EvalConfig) -> str | None:
    """The gateway's token from the environment, or None where no gateway is used.

    Raises `ConfigError`, naming the variable, before anything is sent.
    """
    if config.openclaw_url is None:
        return None
    token = os.environ.get(GATEWAY_TOKEN_VARIABLE, "").strip()
    if not token:
        raise ConfigError(
            f"openclaw_url is {config.openclaw_url}, and {GATEWAY_TOKEN_VARIABLE} is not set in the environment: "
            "export it (the development stack's value is openclaw-local-dev-token), or set openclaw_url=null "
            "to speak to CLaaS directly"
        )
    return token
