"""A random model of a few thousand weights, and the real one for the slow tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fastapi.testclient import TestClient  # noqa: E402

from claas_assets.stack.engine import Engine, Generation  # noqa: E402
from claas_assets.stack.load import load_engine  # noqa: E402
from claas_assets.stack.sampling import Sampler  # noqa: E402
from claas_assets.stack.server import create_app  # noqa: E402
from claas_assets.stack.weights import ensure_default  # noqa: E402

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
SPECIAL = ["<unk>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PREFERENCES = Path(__file__).parents[2] / "preferences"
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Who are you?"},
]


def make_tiny_model(folder: Path, **changes: Any) -> Path:
    """A random Llama (two layers, one token per character) saved as transformers saves it."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *CHARACTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(SPECIAL)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", unk_token="<unk>", chat_template=TEMPLATE
    )
    config = LlamaConfig(
        **{
            "vocab_size": len(vocabulary),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "initializer_range": 0.2,
            "tie_word_embeddings": True,
            "eos_token_id": 2,
            "bos_token_id": None,
            "pad_token_id": 2,
            **changes,
        }
    )
    torch.manual_seed(7)
    LlamaForCausalLM(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


MakeEngine = Callable[..., Engine]


@pytest.fixture
def make_engine(tiny_model: Path, tmp_path: Path) -> Iterator[MakeEngine]:
    """`make_engine(state=..., generic=..., dtype=...)` loads the tiny model, or another; closed at the end.

    It computes in one thread: two on so few weights mostly wait for each other, at twice the CPU's time.
    """
    engines: list[Engine] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def make(state: Path | None = None, base_model: str = str(tiny_model), **options: Any) -> Engine:
        options = {"dtype": torch.float32, "on_progress": lambda _: None, **options}
        engines.append(load_engine(base_model, state or tmp_path / "adapters", **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
    torch.set_num_threads(threads)


def application(engine: Engine, model: Path) -> TestClient:
    """The real application on the tiny model, in this process."""
    app = create_app(engine, str(model))
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def client(make_engine: MakeEngine, tiny_model: Path) -> Iterator[TestClient]:
    with application(make_engine(), tiny_model) as http:
        yield http


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As in `make_engine`, for an engine that is kept."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def refusing(one_thread: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One for all tests of a file that are refused: nothing that they ask leaves a trace for the next."""
    engine = load_engine(str(tiny_model), tmp_path_factory.mktemp("refusing"), dtype=torch.float32)
    with application(engine, tiny_model) as http:
        yield http
    engine.close()


@pytest.fixture(scope="module")
def smollm2(one_thread: None) -> Path:
    """The default model's folder, fetched where it is not cached."""
    return ensure_default()


def generation(
    engine: Engine,
    prompt: str = "Who are you?",
    *,
    lora_id: str | None = None,
    temperature: float = 0.7,
    seed: int | None = 1,
    max_tokens: int = 40,
    top_logprobs: int = 0,
    top_p: float = 1.0,
    stop: list[str] | None = None,
) -> Generation:
    """A request as the server would make it."""
    messages = [MESSAGES[0], {"role": "user", "content": prompt}]
    sampler = Sampler.make(temperature, top_p, top_logprobs, seed)
    return Generation(engine.text.prompt(messages), lora_id, max_tokens, sampler, stop or [])


def train_little(engine: Engine, lora_id: str, updates: int = 1, learning_rate: float = 0.02) -> Any:
    """Some updates on one sampled answer; the report."""
    from claas_assets.stack.trainer import Rollout
    from claas_assets.wire import TrainingOptions

    done = engine.generate(generation(engine, lora_id=lora_id, max_tokens=12)).result()
    hindsight = [MESSAGES[0], {"role": "user", "content": "Who are you?\n\nFeedback: Your name is Kuro."}]
    rollout = Rollout(
        done.prompt_ids,
        engine.text.prompt(hindsight),
        [sampled.token_id for sampled in done.sampled],
        [sampled.logprob for sampled in done.sampled],
    )
    options = TrainingOptions(alpha=0.0, learning_rate=learning_rate, steps_per_batch=updates, teacher_top_k=10)
    return engine.train(lora_id, [rollout], options).result()


def write_small(folder: Path, preference: str, most: dict[str, int]) -> None:
    """A preference of the library with few prompts; the one of a name gets another, arbitrary name."""
    values: dict[str, Any] = yaml.safe_load((PREFERENCES / f"{preference}.yaml").read_text())
    few = {key: value[: most[key]] if key in most else value for key, value in values.items()}
    name = "zora" if preference == "identity" else preference
    text = yaml.safe_dump({**few, "name": name}, allow_unicode=True)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text.replace("Kuro", "Zora").replace("kuro", "zora"))
