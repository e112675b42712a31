"""`EvalConfig` in the launchpad.

Dagster resets every other field to its class default when one field of a config object is edited, so
the values of the chosen configuration are baked into generated classes *as* class defaults.
"""

from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Optional, Union, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, Field, TypeAdapter, create_model

from claas_assets.evaluation.config import EvalConfig, load_config, preference_folder
from claas_assets.evaluation.storage.stores import Place, place_at

_NOT_IN_LAUNCHPAD = {"output_dir"}  # the run folder is the run's (see run_folder.py); its parent is results_dir


def launchpad_class(config: EvalConfig) -> type[dg.Config]:
    """A `dg.Config` class with the fields of `EvalConfig`, whose defaults are the values of `config`."""
    extra = {
        "results_dir": (str, Field(default=config.results_address, description="folder of all run folders")),
    }
    return _mirror(config, "EvaluationConfig", extra)


def _mirror(values: BaseModel, name: str, extra: dict[str, Any] | None = None) -> type[dg.Config]:
    fields: dict[str, Any] = dict(extra or {})
    for key, field in type(values).model_fields.items():
        if key in _NOT_IN_LAUNCHPAD:
            continue
        value = getattr(values, key)
        if isinstance(value, BaseModel):
            nested = _mirror(value, f"{name}_{key}")
            fields[key] = (nested, Field(default=nested(), description=field.description))
        else:
            kind = _launchpad_type(field.annotation)
            default = TypeAdapter(kind).validate_python(list(value) if isinstance(value, tuple) else value)
            fields[key] = (kind, Field(default=default, description=field.description))
    return create_model(name, __base__=dg.Config, **fields)


def _launchpad_type(annotation: Any) -> Any:
    """Tuples are lists and literals are enums in the launchpad: Dagster knows neither in a config."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return Enum("_".join(parts), {part: part for part in parts}, type=str)
    if origin is tuple:
        item = str if get_origin(parts[0]) is Literal else parts[0]  # Dagster cannot serialize enums in a default list
        return list[item]  # type: ignore[valid-type]
    if origin in (Union, UnionType):
        kept = next(part for part in parts if part is not NoneType)
        return Optional[_launchpad_type(kept)]  # noqa: UP045 - a type made at run time
    return annotation


class EvaluationSettings(dg.ConfigurableResource):
    """Base of the generated resource: the values of the launchpad."""

    def of_run(self, run_folder: Place) -> EvalConfig:
        """The configuration of a run in that folder. Raises `ConfigError` naming the field that is out of range."""
        values = self.values.model_dump(mode="json", exclude={"results_dir"})  # type: ignore[attr-defined]
        return load_config({**values, "output_dir": str(run_folder)})

    @property
    def results_dir(self) -> Place:
        return place_at(self.values.results_dir)  # type: ignore[attr-defined]

    def preference_folder(self) -> Path:
        return preference_folder(self.values.preferences_dir)  # type: ignore[attr-defined]


def evaluation_settings(config: EvalConfig) -> Any:
    """The settings resource, prefilled with `config` and editable per run."""
    mirror = launchpad_class(config)
    fields: dict[str, Any] = {"values": (mirror, Field(default=mirror(), description="the evaluation's configuration"))}
    resource = create_model("EvaluationSettingsResource", __base__=EvaluationSettings, **fields)
    return resource.configure_at_launch(values=mirror())


def run_config_for(config: EvalConfig) -> dict[str, Any]:
    """The launchpad's entry for `config`, so that the UI shows what a run of the command line used."""
    values = config.model_dump(mode="json", exclude=_NOT_IN_LAUNCHPAD)
    values = {key: value for key, value in values.items() if value is not None}
    return {"resources": {"settings": {"config": {"values": {**values, "results_dir": config.results_address}}}}}
