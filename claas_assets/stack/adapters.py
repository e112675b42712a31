"""Adapters on disk: one file each, replaced as a whole after every update.

A file holds the LoRA matrices, AdamW's moments and, in its header, everything else: so weights,
optimizer state and update counter can never disagree, whenever the process ends. `export` gives
the PEFT folder.
"""

import io
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor

from claas_assets.wire import model_name

SUFFIX = ".safetensors"
INIT_SEED = 20260218  # the same for every adapter, so that runs can be repeated
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class AdapterError(ValueError):
    """A name or shape that cannot be served."""


class UnknownAdapterError(LookupError):
    """No such adapter on this stack."""


class AdapterExistsError(AdapterError):
    """The name is taken by an adapter that must not be overwritten."""


@dataclass(frozen=True)
class AdapterInfo:
    """What an adapter is, without its matrices."""

    lora_id: str
    base_model: str
    r: int
    alpha: int
    target_modules: tuple[str, ...]  # last parts of module names, as PEFT has them
    updates: int = 0  # gradient updates since init

    @property
    def scale(self) -> float:
        return self.alpha / self.r


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory. `weights[module]` is (A (r, in), B (out, r)), float32."""

    info: AdapterInfo
    weights: dict[str, tuple[Tensor, Tensor]]
    moments: dict[str, Tensor] = field(default_factory=dict)  # AdamW's, by parameter; empty before training


def clean_id(lora_id: str) -> str:
    """The id under which an adapter is kept; raises `AdapterError` for one that is no plain name."""
    name = lora_id.strip("/")
    parts = name.split("/")
    if len(name) > 160 or not all(_SEGMENT.fullmatch(part) for part in parts):
        raise AdapterError(
            f"lora_id {lora_id!r} is not allowed: at most 160 characters, segments of letters, digits, "
            "'.', '_' and '-' separated by '/', none of them starting with '.' or '-'"
        )
    return name


def choose_modules(modules: Mapping[str, tuple[int, int]], targets: list[str] | None) -> dict[str, tuple[int, int]]:
    """The modules (name → (in, out)) that get a LoRA: all of them, or those whose last part is named."""
    if targets is None:
        return dict(modules)
    known = {name.rsplit(".", 1)[-1] for name in modules}
    if unknown := sorted(set(targets) - known):
        raise AdapterError(f"target_modules {unknown} are not in this model; it has {sorted(known)}")
    return {name: shape for name, shape in modules.items() if name.rsplit(".", 1)[-1] in targets}


def fresh_weights(modules: Mapping[str, tuple[int, int]], r: int) -> dict[str, tuple[Tensor, Tensor]]:
    """PEFT's initialization (A uniform in ±1/√in, B zero) from a fixed seed."""
    random = torch.Generator().manual_seed(INIT_SEED)
    weights = {}
    for name, (inputs, outputs) in sorted(modules.items()):
        a = (torch.rand(r, inputs, generator=random) * 2 - 1) / math.sqrt(inputs)
        weights[name] = (a, torch.zeros(outputs, r))
    return weights


class AdapterStore:
    """The adapters of one stack, in one folder. Used by one process."""

    def __init__(self, folder: Path, base_model: str) -> None:
        self.folder = folder
        self.base_model = base_model
        folder.mkdir(parents=True, exist_ok=True)
        for half_written in folder.glob(f".*{SUFFIX}.*"):  # by a process that was killed
            half_written.unlink()

    def create(self, lora_id: str, modules: Mapping[str, tuple[int, int]], r: int, alpha: int) -> AdapterInfo:
        """A fresh adapter; one of this name, trained or not, is replaced by it.

        Raises `AdapterExistsError` where another adapter would be served under the same model name;
        `AdapterError` where the base model would.
        """
        name = clean_id(lora_id)
        if model_name(name) == model_name(self.base_model):
            raise AdapterError(f"lora_id {name!r} would share its model name with the base model {self.base_model!r}")
        for other in self.list(""):
            if other != name and model_name(other) == model_name(name):
                raise AdapterExistsError(f"lora_id {name!r} would share its model name with {other!r}")
        targets = tuple(sorted({module.rsplit(".", 1)[-1] for module in modules}))
        info = AdapterInfo(name, self.base_model, r, alpha, targets)
        self.save(Adapter(info, fresh_weights(modules, r)))
        return info

    def save(self, adapter: Adapter) -> None:
        """Write an adapter beside its file, then rename: readers see the old or the new state."""
        path = self._path(adapter.info.lora_id)
        tensors = peft_tensors(adapter.weights)
        tensors.update({f"moment.{name}": tensor for name, tensor in adapter.moments.items()})
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        save_file(tensors, temporary, metadata={"info": json.dumps(asdict(adapter.info))})
        temporary.replace(path)

    def load(self, lora_id: str) -> Adapter:
        """Raises `UnknownAdapterError`."""
        info = self.info(lora_id)
        with safe_open(self._path(info.lora_id), framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        moments = {key.removeprefix("moment."): t for key, t in tensors.items() if key.startswith("moment.")}
        return Adapter(info, _pairs_in(tensors), moments)

    def info(self, lora_id: str) -> AdapterInfo:
        """Read the header only. Raises `UnknownAdapterError`."""
        try:
            path = self._path(clean_id(lora_id))
        except AdapterError as error:
            raise UnknownAdapterError(str(error)) from error
        if not path.exists():
            raise UnknownAdapterError(f"no adapter {lora_id!r} on this stack")
        with safe_open(path, framework="pt") as file:
            values = json.loads(file.metadata()["info"])
        return replace(AdapterInfo(**values), target_modules=tuple(values["target_modules"]))

    def updates(self, lora_id: str) -> int:
        """Gradient updates of an adapter, 0 where there is none."""
        try:
            return self.info(lora_id).updates
        except UnknownAdapterError:
            return 0

    def written(self, lora_id: str) -> int:
        """When an adapter was last written, in seconds since 1970."""
        return int(self._path(clean_id(lora_id)).stat().st_mtime)

    def list(self, prefix: str) -> list[str]:
        """Ids that start with `prefix`, sorted."""
        names = (unquote(path.name.removesuffix(SUFFIX)) for path in self.folder.glob(f"[!.]*{SUFFIX}"))
        return sorted(name for name in names if name.startswith(prefix.lstrip("/")))

    def delete(self, lora_id: str) -> bool:
        """Whether there was one."""
        try:
            path = self._path(clean_id(lora_id))
        except AdapterError:
            return False
        existed = path.exists()
        path.unlink(missing_ok=True)
        return existed

    def find(self, model: str) -> str | None:
        """The id of the adapter that is served under a model name, or whose id it is."""
        wanted = model_name(model)
        return next((name for name in self.list("") if model_name(name) == wanted), None)

    def export(self, lora_id: str) -> bytes:
        """A zip of the PEFT folder: `adapter_config.json` and `adapter_model.safetensors`."""
        adapter = self.load(lora_id)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("adapter_config.json", json.dumps(peft_config(adapter.info), indent=2))
            archive.writestr("adapter_model.safetensors", save(peft_tensors(adapter.weights)))
        return buffer.getvalue()

    def restore(self, lora_id: str, content: bytes, modules: Mapping[str, tuple[int, int]]) -> AdapterInfo:
        """An adapter from what `export` gave; it has no optimizer state, and its updates are counted from 0.

        Raises `AdapterError` where the zip is not an adapter of this model (`modules`: name → (in, out)),
        `AdapterExistsError` where the name is taken.
        """
        name = clean_id(lora_id)
        if name in self.list("") or self.find(name) is not None:
            raise AdapterExistsError(f"there is an adapter {name!r} already: restore it under another name")
        try:
            config, weights = _unpacked(content)
            info = AdapterInfo(name, self.base_model, int(config["r"]), int(config["lora_alpha"]), ())
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise AdapterError(f"not an exported adapter: {type(error).__name__}: {error}") from error
        for module, (a, b) in weights.items():
            inputs, outputs = modules.get(module, (0, 0))
            if a.shape != (info.r, inputs) or b.shape != (outputs, info.r):
                raise AdapterError(f"its matrices of {module} do not fit {self.base_model}: is it another model's?")
        info = replace(info, target_modules=tuple(sorted({module.rsplit(".", 1)[-1] for module in weights})))
        self.save(Adapter(info, weights))
        return info

    def _path(self, name: str) -> Path:
        return self.folder / f"{quote(name, safe='')}{SUFFIX}"


_MAX_UNPACKED_BYTES = 2**31


def _unpacked(content: bytes) -> tuple[dict[str, Any], dict[str, tuple[Tensor, Tensor]]]:
    """The configuration and the matrices, float32, of an exported adapter."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MAX_UNPACKED_BYTES:
            raise ValueError("it is larger than any adapter")
        config = json.loads(archive.read("adapter_config.json"))
        tensors = {name: tensor.float() for name, tensor in load(archive.read("adapter_model.safetensors")).items()}
    return config, _pairs_in(tensors)


def _pairs_in(tensors: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Module → (A, B), the inverse of `peft_tensors`; other tensors are passed over."""
    pairs = {name: name.replace(".lora_A.", ".lora_B.") for name in tensors if name.endswith(".lora_A.weight")}
    modules = {name: name.removeprefix("base_model.model.").removesuffix(".lora_A.weight") for name in pairs}
    return {modules[a]: (tensors[a], tensors[b]) for a, b in pairs.items()}


def peft_tensors(weights: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The matrices under the names that PEFT gives them."""
    tensors = {}
    for module, (a, b) in weights.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = a.detach().contiguous()
        tensors[f"base_model.model.{module}.lora_B.weight"] = b.detach().contiguous()
    return tensors


def peft_config(info: AdapterInfo) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": info.base_model,
        "r": info.r,
        "lora_alpha": info.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(info.target_modules),
        "inference_mode": True,
    }
