"""steps.jsonl grows by whole lines; a torn one is set aside; an intent outlives a crash."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage.journal import STEPS_FILE, TORN_FILE, FeedbackIntent, FileJournal
from claas_assets.evaluation.storage.records import RolloutRecord, StepRecord
from tests.synthetic.records import step_record


def a_step(step: int) -> StepRecord:
    return step_record(step, response_text="I'm Kuro\nreally \u2028")


def test_lines_come_back_as_they_were_written(tmp_path):
    journal = FileJournal(tmp_path)
    for step in range(3):
        journal.append(a_step(step))
    assert journal.read() == [a_step(0), a_step(1), a_step(2)]


@pytest.mark.parametrize("torn", [b"{", b'{"preference": "identity", "step": 1}', b"\xff\xfe"])
def test_a_torn_last_line_is_set_aside_and_earlier_lines_keep_their_bytes(tmp_path, torn):
    journal = FileJournal(tmp_path)
    journal.append(a_step(0))
    whole = (tmp_path / STEPS_FILE).read_bytes()
    with open(tmp_path / STEPS_FILE, "ab") as file:
        file.write(torn)
    assert journal.read() == [a_step(0)]
    assert journal.set_aside_torn_line()
    assert (tmp_path / STEPS_FILE).read_bytes() == whole
    assert (tmp_path / TORN_FILE).read_bytes() == torn + b"\n"
    assert not journal.set_aside_torn_line()
    journal.append(a_step(1))
    assert journal.read() == [a_step(0), a_step(1)]


def test_a_torn_first_line_leaves_an_empty_file(tmp_path):
    (tmp_path / STEPS_FILE).write_bytes(b'{"half')
    assert FileJournal(tmp_path).set_aside_torn_line()
    assert (tmp_path / STEPS_FILE).read_bytes() == b""


@pytest.mark.parametrize("steps", [[1], [0, 2], [0, 0]])
def test_steps_that_are_missing_or_twice_are_an_error_that_names_the_line(tmp_path, steps):
    for step in steps:
        FileJournal(tmp_path).append(a_step(step))
    with pytest.raises(RunFolderError, match=f"line {len(steps)}"):
        FileJournal(tmp_path).read()


def test_a_line_in_the_middle_that_is_not_a_step_is_an_error(tmp_path):
    (tmp_path / STEPS_FILE).write_bytes(b"not json\n")
    with pytest.raises(RunFolderError, match="line 1"):
        FileJournal(tmp_path).read()


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path, monkeypatch):
    journal = FileJournal(tmp_path)
    journal.append(a_step(0))
    before = (tmp_path / STEPS_FILE).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match=r"No space left on device.*whole"):
        journal.append(a_step(1))
    assert (tmp_path / STEPS_FILE).read_bytes() == before


def test_the_intent_is_there_until_the_step_is_recorded(tmp_path):
    journal = FileJournal(tmp_path)
    intent = FeedbackIntent(step=0, batch=[RolloutRecord(prompt="a", response="b")], updates_before=3, calls_begun=1)
    journal.write_intent(intent)
    assert FileJournal(tmp_path).intent() == intent
    journal.append(a_step(0))
    assert journal.intent() is None


def _hold(folder, held, release):
    with FileJournal(folder).lock():
        held.set()
        release.wait(20)


def test_a_second_evaluation_in_the_same_folder_is_refused_with_who_holds_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held, release))
    holder.start()
    try:
        assert held.wait(20)
        with pytest.raises(RunFolderError, match=f"process {holder.pid}"), FileJournal(tmp_path).lock():
            pass
    finally:
        release.set()
        holder.join()
    with FileJournal(tmp_path).lock():
        pass


def test_half_of_a_surrogate_pair_is_recorded_as_a_replacement(tmp_path):
    """However it came in: a step that cannot be written would be trained again."""
    step = a_step(0).model_copy(update={"response_text": "a\ud800b", "feedback_calls": [{"said": "\udc00"}]})
    journal = FileJournal(tmp_path)
    journal.write_intent(FeedbackIntent(step=0, batch=[RolloutRecord(prompt="\ud800", response="b")], updates_before=3))
    assert journal.intent().batch[0].prompt == "\ufffd"
    journal.append(step)
    (read,) = journal.read()
    assert (read.response_text, read.feedback_calls) == ("a\ufffdb", [{"said": "\ufffd"}])
