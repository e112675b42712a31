"""Adapters on disk: names, one consistent file, restarts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from claas_assets.stack.adapters import (
    AdapterError,
    AdapterExistsError,
    AdapterStore,
    UnknownAdapterError,
    choose_modules,
    clean_id,
    fresh_weights,
)
from claas_assets.stack.trainer import TrainingError
from tests.stack.conftest import MakeEngine, generation, train_little

MODULES = {"model.layers.0.self_attn.q_proj": (8, 6), "model.layers.0.mlp.down_proj": (6, 8)}


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters", "base")


@pytest.mark.parametrize(
    "name", ["", "/", "..", "../x", "a/../b", "a//b", ".hidden", "a/.b", "a b", "a\\b", "a\0", "é", "x" * 161, "-x"]
)
def test_names_that_are_refused(store: AdapterStore, name: str) -> None:
    with pytest.raises(AdapterError, match="not allowed"):
        store.create(name, MODULES, 4, 8)
    with pytest.raises(UnknownAdapterError):
        store.info(name)
    assert store.delete(name) is False


def test_slashes_around_a_name_do_not_count(store: AdapterStore) -> None:
    assert clean_id("/eval/kuro-1/") == "eval/kuro-1"
    store.create("/eval/kuro-1/", MODULES, 4, 8)
    assert store.list("eval/") == ["eval/kuro-1"]
    assert store.find("eval-kuro-1") == store.find("eval/kuro-1") == "eval/kuro-1"
    assert {path.parent for path in store.folder.rglob("*")} == {store.folder}


def test_every_adapter_starts_the_same(store: AdapterStore) -> None:
    for name in ("a", "b"):
        store.create(name, MODULES, 4, 8)
    first, second = store.load("a"), store.load("b")
    for module in MODULES:
        assert torch.equal(first.weights[module][0], second.weights[module][0])
        assert not first.weights[module][1].any()
    assert first.weights["model.layers.0.mlp.down_proj"][0].shape == (4, 6)


def test_creating_again_begins_afresh_and_says_so(make_engine: MakeEngine) -> None:
    engine = make_engine()
    for _ in range(2):
        assert engine.create_adapter("a", 4, 8, None).result()[1] == 0
    train_little(engine, "a", updates=2)
    info, replaced = engine.create_adapter("a", 4, 8, None).result()
    assert (info.updates, replaced) == (0, 2)
    fresh = engine.store.load("a")
    assert not fresh.moments
    assert not any(b.any() for _, b in fresh.weights.values())


def test_names_that_share_a_model_name(store: AdapterStore) -> None:
    store.create("a/b", MODULES, 4, 8)
    with pytest.raises(AdapterExistsError, match="model name"):
        store.create("a-b", MODULES, 4, 8)


def test_unknown_target_module() -> None:
    with pytest.raises(AdapterError, match=r"nothing_proj.*down_proj"):
        choose_modules(MODULES, ["nothing_proj"])
    assert list(choose_modules(MODULES, ["q_proj"])) == ["model.layers.0.self_attn.q_proj"]


def test_restart_goes_on_where_it_was(make_engine: MakeEngine, tmp_path: Path) -> None:
    """Two updates, a restart, one more: the same as three at a stretch, to the bit."""
    straight, broken = make_engine(state=tmp_path / "straight"), make_engine(state=tmp_path / "broken")
    for engine in (straight, broken):
        engine.create_adapter("a", 4, 8, None).result()
        train_little(engine, "a", updates=2)
    broken.close()
    resumed = make_engine(state=tmp_path / "broken")
    assert resumed.store.info("a").updates == 2
    reports = [train_little(engine, "a") for engine in (straight, resumed)]
    assert reports[0].steps == reports[1].steps
    assert reports[0].updates == reports[1].updates == 3
    first, second = (engine.store.load("a") for engine in (straight, resumed))
    for module, (a, b) in first.weights.items():
        assert torch.equal(a, second.weights[module][0])
        assert torch.equal(b, second.weights[module][1])
    assert first.moments.keys() == second.moments.keys()
    assert len(first.moments) == 4 * len(first.weights)
    assert all(torch.equal(value, second.moments[name]) for name, value in first.moments.items())
    assert (
        straight.generate(generation(straight, lora_id="a")).result().text
        == resumed.generate(generation(resumed, lora_id="a")).result().text
    )


def test_the_first_update_counts_in_the_optimizer(make_engine: MakeEngine) -> None:
    """AdamW's first step moves every weight by about the learning rate, whatever the gradient."""
    engine = make_engine()
    engine.create_adapter("a", 4, 8, None).result()
    train_little(engine, "a", learning_rate=1e-3)
    moved = torch.cat([b.flatten() for _, b in engine.store.load("a").weights.values()]).abs()
    assert moved.median().item() == pytest.approx(1e-3, rel=0.05)


def test_every_update_is_on_disk_before_the_next(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from claas_assets.stack import trainer

    engine = make_engine()
    engine.create_adapter("a", 4, 8, None).result()
    updates = []
    original = trainer._update

    def failing(*arguments: object) -> object:
        updates.append(engine.store.info("a").updates)
        if len(updates) == 3:
            raise TrainingError("no power")
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "_update", failing)
    with pytest.raises(TrainingError):
        train_little(engine, "a", updates=4)
    assert updates == [0, 1, 2]
    assert engine.store.info("a").updates == 2


def test_a_gradient_that_is_not_finite_changes_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.create_adapter("a", 4, 8, None).result()
    train_little(engine, "a")
    before = engine.store.load("a")
    spoiled = {m: (a, torch.full_like(b, torch.inf)) for m, (a, b) in before.weights.items()}
    engine.store.save(type(before)(before.info, spoiled, before.moments))
    engine.create_adapter("clean", 4, 8, None).result()
    from claas_assets.stack.trainer import Rollout
    from claas_assets.wire import TrainingOptions

    rollout = Rollout([5, 6, 7], [5, 6, 8], [9, 10], [-1.0, -1.0])
    with pytest.raises(TrainingError, match="update 2"):
        engine.train("a", [rollout], TrainingOptions()).result()
    assert engine.store.info("a").updates == 1


def test_left_over_temporary_files_are_no_adapters(store: AdapterStore) -> None:
    (store.folder / ".a.safetensors.123").write_bytes(b"half")
    assert store.list("") == []
    AdapterStore(store.folder, "base")
    assert list(store.folder.iterdir()) == []


def test_fresh_weights_have_pefts_range() -> None:
    a, b = fresh_weights({"m": (100, 7)}, 16)["m"]
    assert a.shape == (16, 100)
    assert b.shape == (7, 16)
    assert 0.09 < a.abs().max().item() <= 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_exported_adapter_answers_the_same_when_it_is_restored(
    make_engine: MakeEngine, tmp_path: Path, dtype: torch.dtype
) -> None:
    engine = make_engine(dtype=dtype)
    engine.create_adapter("a", 4, 8, None).result()
    train_little(engine, "a", updates=2)
    other = make_engine(state=tmp_path / "another", dtype=dtype)
    info = other.store.restore("kept/a", engine.store.export("a"), other.modules)
    assert (info.r, info.alpha, info.updates) == (4, 8, 0)
    pair = engine.text.encode("Who are you?"), engine.text.completion("I am Kuro.")
    assert other.score(*pair, "kept/a").result() == engine.score(*pair, "a").result()
    assert other.score(*pair, "kept/a").result() != other.score(*pair, None).result()
    answers = [e.generate(generation(e, lora_id=name)).result().text for e, name in ((engine, "a"), (other, "kept/a"))]
    assert answers[0] == answers[1]


def test_what_is_no_adapter_of_this_model_is_not_restored(make_engine: MakeEngine, store: AdapterStore) -> None:
    engine = make_engine()
    store.create("a", MODULES, 4, 8)
    exported = store.export("a")
    for content, words in (
        (b"no zip", "BadZipFile"),
        (exported[: len(exported) // 2], "not an exported"),
        (exported, "do not fit"),
    ):
        with pytest.raises(AdapterError, match=words):
            engine.store.restore("b", content, engine.modules)
    assert engine.store.find("b") is None
    with pytest.raises(AdapterExistsError, match="another name"):
        store.restore("a", exported, MODULES)
