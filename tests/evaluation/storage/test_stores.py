"""Addresses that results can be kept at, what a store does there, and a journal of one object a step."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath

from claas_assets.cli.main import main
from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.errors import ConfigError, RunFolderError
from claas_assets.evaluation.storage import stores as places
from claas_assets.evaluation.storage.addresses import is_address, split_output
from claas_assets.evaluation.storage.atomic import write_whole
from claas_assets.evaluation.storage.journal import FeedbackIntent, FileJournal
from claas_assets.evaluation.storage.object_journal import ObjectJournal, open_journal
from claas_assets.evaluation.storage.records import RolloutRecord
from claas_assets.evaluation.storage.stores import place_at
from tests.evaluation.storage.test_journal import a_step


class Growing(MemoryFileSystem):
    """A store whose files grow as they are written: what a reader would see in between is in `seen`."""

    protocol = "growing"
    store: dict = {}  # noqa: RUF012 - fsspec's own way
    pseudo_dirs = [""]  # noqa: RUF012
    seen: list[str] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return f"/{path.removeprefix('growing://').strip('/')}"

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        Growing.seen.append(path)
        super().pipe_file(path, value, mode=mode, **kwargs)


class Down(MemoryFileSystem):
    """A store that answers nothing."""

    protocol = "down"

    def _fail(self, *_args, **_kwargs):
        raise TimeoutError("no answer")

    info = ls = cat_file = pipe_file = rm_file = _fail


@pytest.fixture
def folder():
    return place_at(f"memory://places/{uuid4().hex[:8]}/identity")


@pytest.fixture(autouse=True)
def stores():
    fsspec.register_implementation("growing", Growing, clobber=True)
    fsspec.register_implementation("down", Down, clobber=True)


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["data/evals", "./a b/c", "/tmp/x", "a:b", "s3:/one-slash", "~/runs", ""])
def test_paths_stay_paths(path):
    assert not is_address(path)
    assert type(place_at(path)) is type(Path())
    assert place_at(path) == Path(path)


@pytest.mark.parametrize(
    ("output_dir", "results_dir"),
    [
        ("s3://bucket/evals/run-1", "s3://bucket/evals"),
        ("s3://bucket/run-1/", "s3://bucket"),
        ("memory:///evals/run-1", "memory:///evals"),
        ("abfs://box@account.dfs.core.windows.net/evals/run-1", "abfs://box@account.dfs.core.windows.net/evals"),
        ("data/evals/run-1", "data/evals"),
        ("./evals/run-1", "evals"),
    ],
)
def test_the_run_id_is_the_last_part_and_the_rest_is_kept_letter_by_letter(output_dir, results_dir):
    config = EvalConfig(output_dir=output_dir)
    assert (config.run_id, config.results_address) == ("run-1", results_dir)
    assert split_output(f"{results_dir}/unused") == (results_dir, "unused")


@pytest.mark.parametrize(
    ("output_dir", "words"),
    [
        ("s3://run-1", "below another"),
        ("s3://", "every part"),
        ("s3://bucket//run-1", "every part"),
        ("s3://bucket/../run-1", "every part"),
        ("s3://bucket/evals/run 1", "' '"),
        ("s3://bucket/*/run-1", r"'\*'"),
        ("s3://bucket/run-1?versionId=3", r"'\?'"),
        ("s3://bucket/evals/-x", "run id"),
        ("simplecache::s3://bucket/evals/run-1", "chain"),
        ("file:///tmp/evals/run-1", "without file://"),
        ("https://example.org/evals/run-1", "cannot be written"),
    ],
)
def test_an_address_that_cannot_be_a_run_folder_is_refused_with_the_key(output_dir, words):
    with pytest.raises(ConfigError, match=rf"output_dir: .*{words}"):
        load_config({"output_dir": output_dir})


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match=r"holds no password.*got 'sftp://me:…@host") as error:
        load_config({"output_dir": "sftp://me:hunter2@host/evals/run-1"})
    assert "hunter2" not in str(error.value)


def test_an_unknown_store_is_a_configuration_error():
    with pytest.raises(ConfigError, match="nonsense"):
        place_at("nonsense://a/b")


@pytest.mark.parametrize("command", ["view", "report", "prune", "clean"])
def test_commands_of_this_machine_say_so_for_an_address(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "s3://bucket/evals"])
    assert ended.value.code == 2
    assert "s3://bucket/evals is not a folder of this machine" in capsys.readouterr().err


# --- a store ----------------------------------------------------------------------------------


def test_what_was_written_is_read_listed_and_removed(folder):
    write_whole(folder / "a.json", "one")
    write_whole(folder / "a.json", "two")
    write_whole(folder / "plots" / "b.png", b"\x00" * 5)
    assert places.fetch(folder / "a.json") == b"two"
    assert [file.name for file in places.files_in(folder)] == ["a.json"]
    assert [file.name for file in places.folders_in(folder)] == ["plots"]
    assert (places.size_of(folder / "a.json"), places.size_of(folder / "plots")) == (3, 5)
    assert (places.is_folder(folder), places.is_folder(folder / "a.json")) == (True, False)
    places.remove(folder / "a.json")
    places.remove(folder / "a.json")
    assert not places.exists(folder / "a.json")
    assert places.folders_in(folder / "nowhere") == []
    with pytest.raises(FileNotFoundError, match="nowhere"):
        places.fetch(folder / "nowhere")


def test_a_new_object_does_not_take_the_place_of_another(folder):
    places.put(folder / "a", b"one", new=True)
    with pytest.raises(FileExistsError):
        places.put(folder / "a", b"two", new=True)
    assert places.fetch(folder / "a") == b"one"


@pytest.mark.filterwarnings("ignore:UPath 'growing'")
def test_a_store_whose_files_grow_is_written_beside_and_renamed():
    place = place_at(f"growing://x/{uuid4().hex[:8]}/a.json")
    write_whole(place, "whole")
    assert places.fetch(place) == b"whole"
    assert [file.name for file in places.files_in(place.parent)] == ["a.json"]
    assert place.path not in Growing.seen
    with pytest.raises(FileExistsError):
        places.put(place, b"two", new=True)


@pytest.mark.filterwarnings("ignore:UPath 'down'")
@pytest.mark.parametrize(
    "ask",
    [places.exists, places.is_folder, places.fetch, places.files_in, places.folders_in, places.remove,
     lambda place: write_whole(place, "x"), lambda place: ObjectJournal(place).intent()],
)  # fmt: skip
def test_a_store_that_does_not_answer_is_an_error_and_never_an_absence(ask):
    with pytest.raises(RunFolderError, match=r"down://.*TimeoutError: no answer.*environment"):
        ask(place_at("down://x/run"))


# --- the journal ------------------------------------------------------------------------------


def test_here_it_is_the_file_and_elsewhere_objects(tmp_path, folder):
    assert type(open_journal(tmp_path)) is FileJournal
    assert type(open_journal(folder)) is ObjectJournal


def test_steps_come_back_joined_or_not(folder):
    journal = ObjectJournal(folder)
    assert (journal.read(), journal.recorded()) == ([], False)
    for step in range(2):
        journal.append(a_step(step))
    assert ObjectJournal(folder).read() == [a_step(0), a_step(1)]
    assert journal.recorded()
    journal.finish()
    joined = places.fetch(folder / "steps.jsonl")
    assert joined.count(b"\n") == 2
    journal.append(a_step(2))  # a run that was given more steps, and stopped
    assert journal.read() == [a_step(0), a_step(1), a_step(2)]
    journal.finish()
    assert places.fetch(folder / "steps.jsonl").startswith(joined)


def test_a_joined_file_without_its_objects_is_gone_on_with(folder):
    """As a run that began on this machine and was copied there."""
    write_whole(folder / "steps.jsonl", a_step(0).model_dump_json() + "\n")
    journal = ObjectJournal(folder)
    journal.append(a_step(1))
    assert journal.read() == [a_step(0), a_step(1)]


def test_a_step_that_is_missing_is_named(folder):
    journal = ObjectJournal(folder)
    for step in (0, 2):
        journal.append(a_step(step))
    with pytest.raises(RunFolderError, match=r"steps/000001\.json is missing, and step 2 is there"):
        journal.read()


def test_an_object_that_is_no_step_is_named(folder):
    write_whole(folder / "steps" / "000000.json", "not a step\n")
    with pytest.raises(RunFolderError, match=r"step 0 .*000000\.json.*not a step record"):
        ObjectJournal(folder).read()


def test_a_step_that_another_machine_recorded_is_not_written_over(folder):
    ObjectJournal(folder).append(a_step(0))
    other = a_step(0).model_copy(update={"response_text": "of the other machine"})
    with pytest.raises(RunFolderError, match=r"another machine.*another output_dir"):
        ObjectJournal(folder).append(other)
    assert ObjectJournal(folder).read() == [a_step(0)]


def test_a_put_whose_answer_was_lost_and_that_the_client_repeated_is_no_conflict(folder):
    ObjectJournal(folder).append(a_step(0))
    ObjectJournal(folder).append(a_step(0))
    assert ObjectJournal(folder).read() == [a_step(0)]


def test_the_intent_is_there_until_the_step_is_recorded(folder):
    journal = ObjectJournal(folder)
    intent = FeedbackIntent(step=0, batch=[RolloutRecord(prompt="a", response="b")], updates_before=3, calls_begun=1)
    assert journal.intent() is None
    journal.write_intent(intent)
    assert ObjectJournal(folder).intent() == intent
    journal.append(a_step(0))
    assert journal.intent() is None


def test_a_second_evaluation_of_this_machine_is_refused_there_too(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CLAAS_ASSETS_LOCKS", str(tmp_path))
    with ObjectJournal(folder).lock():
        with pytest.raises(RunFolderError, match="another evaluation is writing here"), ObjectJournal(folder).lock():
            pass
        with ObjectJournal(UPath(f"{folder}-2")).lock():
            pass
    with ObjectJournal(folder).lock():
        pass
