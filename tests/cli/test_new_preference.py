"""From what a user says to a file: `new`, `preferences` and `log`."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from claas_assets.evaluation.preferences.preference import load_preference
from claas_assets.evaluation.preferences.prompts import nearly_one
from tests.fake_judge import FakeJudge

TOPICS = ["tea", "bridges", "jazz", "tides", "bees", "chess", "granite", "sailing", "salt", "clocks", "owls", "ink"]
SHIPPED = Path(__file__).parents[2] / "preferences"


@pytest.fixture
def own(tmp_path):
    """An own folder of preferences, with one shipped file in it."""
    folder = tmp_path / "preferences"
    folder.mkdir()
    shutil.copy(SHIPPED / "no_emoji.yaml", folder)
    return folder


@pytest.fixture
def model():
    one = FakeJudge(lambda prompt, answer: "warm" in answer)
    yield one
    one.close()


# --- new ------------------------------------------------------------------------------------------


def test_a_new_file_loads_and_says_what_it_cannot_show_and_how_to_go_on(claas_eval, own):
    done = claas_eval("new", "french", "--feedback", "Always answer in French", "--feedback", "En français !")
    assert done.returncode == 0
    assert done.stdout.count("cannot show:") == 3
    assert "claas-eval 'preferences=[french]'\n" in done.stdout
    preference = load_preference("french", own)
    assert preference.verifier == {"_target_": "InLanguage", "language": "french"}
    assert preference.feedback_strings == ("Always answer in French", "En français !")
    assert preference.feedback_policy == "always"


def test_a_first_file_of_ones_own_says_that_the_shipped_ones_are_read_no_more(claas_eval, tmp_path):
    first, second = (claas_eval("new", name, "--feedback", "Never apologize") for name in ("one", "two"))
    assert "no longer the shipped files" in first.stdout
    assert "no longer" not in second.stdout
    assert (tmp_path / "preferences" / "two.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no_emoji", "--feedback", "x"), "is there already"),
        (("Français", "--feedback", "x"), "not usable"),
        (("french",), "--feedback"),
        (("french", "--feedback", " "), "--feedback"),
        (("french", "--from-log", "nowhere"), "nowhere: no such folder"),
        (("french", "--feedback", "x", "--ask", "u", "--from-log", "d"), "give one of them"),
        (("french", "--feedback", "x", "--ask", "http://a:b@host"), "without user, password"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(claas_eval, own, arguments, said):
    before = sorted(path.name for path in own.iterdir())
    done = claas_eval("new", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert sorted(path.name for path in own.iterdir()) == before


def test_a_model_drafts_prompts_and_they_are_marked_until_a_person_removes_the_mark(claas_eval, own, model):
    prompts = [f"Explain {topic} to me" for topic in TOPICS]
    model.always = f"Here you are: {json.dumps([*prompts, prompts[0].upper(), 7, ''])}"
    done = claas_eval("new", "warmer", "--feedback", "Be warmer", "--ask", model.url, CLAAS_JUDGE_KEY="sk-1")
    assert done.returncode == 0
    assert model.keys == ["Bearer sk-1"]
    preference = load_preference("warmer", own)
    assert preference.drafted
    assert sorted([*preference.probe_prompts, *preference.heldout_prompts]) == sorted(prompts)
    assert len(preference.probe_prompts) == 4
    assert any("nobody has read them" in limit for limit in preference.limits)
    path = own / "warmer.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("drafted")))
    assert not any("nobody has read" in limit for limit in load_preference("warmer", own).limits)


@pytest.mark.parametrize("reply", ["I cannot do that.", "[1, 2]", "[", json.dumps(["the same"] * 40)])
def test_a_model_that_drafts_nothing_usable_writes_no_file(claas_eval, own, model, reply):
    model.always = reply
    done = claas_eval("new", "warmer", "--feedback", "Be warmer", "--ask", model.url)
    assert done.returncode == 1
    assert "to draft prompts gave" in done.stderr
    assert not (own / "warmer.yaml").exists()


# --- preferences ------------------------------------------------------------------------------------


def test_the_list_checks_each_file_and_own_ones_too(claas_eval, own):
    claas_eval("new", "french", "--feedback", "Always answer in French")
    values = yaml.safe_load((own / "no_emoji.yaml").read_text())
    pair = values["logprob_pairs"][0]
    pair["positive_response"], pair["negative_response"] = pair["negative_response"], pair["positive_response"]
    values["name"] = "swapped"
    values["heldout_prompts"][0] = values["probe_prompts"][0].rstrip(".!?") + ", please"
    (own / "swapped.yaml").write_text(yaml.safe_dump(values, allow_unicode=True))
    done = claas_eval("preferences", COLUMNS="120")
    assert done.returncode == 1
    assert "french" in done.stdout
    assert "10+20+30" in done.stdout
    assert "swapped: the verifier refuses a preferred answer" in done.stderr
    assert "swapped: a held-out prompt is nearly one that is trained on" in done.stderr
    assert "no_emoji:" not in done.stderr
    assert "cannot show" not in done.stderr
    assert claas_eval("preferences", "french").stderr.count("french cannot show: ") == 3
    both = "name: both\nphases: [{preference: french}, {preference: no_emoji}]"
    (own / "both.yaml").write_text(both)
    assert "french, then no_emoji" in claas_eval("preferences").stdout
    (own / "both.yaml").write_text(both.replace("french", "gone"))
    broken = claas_eval("preferences")
    assert broken.returncode == 2
    assert "both: " in broken.stderr


def test_shipped_files_have_no_fault(claas_eval):
    done = claas_eval("preferences", "--dir", str(SHIPPED))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("text", "code", "said"), [("Late 🚆", 1, "does not obey"), ("It is late.", 0, "obeys")])
def test_a_text_is_judged_by_a_verifier_with_its_reason(claas_eval, own, text, code, said):
    done = claas_eval("preferences", "no_emoji", "--try", text)
    assert done.returncode == code
    assert done.stdout.startswith(f"{said} (score ")
    assert code == 0 or "🚆" in done.stdout


def test_a_judge_is_asked_where_it_is_the_verifier(claas_eval, own, model):
    claas_eval("new", "warmer", "--feedback", "Be warmer")
    assert claas_eval("preferences", "warmer", "--try", "So warm").returncode == 2  # nobody says where the judge is
    judged = claas_eval("preferences", "warmer", "--try", "So warm", CLAAS_JUDGE_URL=model.url)
    assert judged.stdout.startswith("obeys (score 1.00): the judge says yes")
    assert claas_eval("preferences", "warmer", "--try", "So cold", CLAAS_JUDGE_URL=model.url).returncode == 1


# --- log --------------------------------------------------------------------------------------------


def batch(number: int, feedback: str, prompts: list[str], **changes: Any) -> dict[str, Any]:
    """As CLaaS writes it."""
    items = [
        {"lora_id": "openclaw/assistant-latest", "prompt": p, "response": "…", "feedback": feedback, "training": {}}
        for p in prompts
    ]
    return {
        "batch_samples": [{}], "distill_result": {"metadata": {}}, "error": None, "lora_id": items[0]["lora_id"],
        "phase": "done", "request_id": f"r{number}", "requests": items, "status": "ok",
        "timestamp_utc": f"2026-02-{number:02d}T10:00:00+00:00", "timing_ms": {}, "vllm": {"slept": True, "woke": True},
        **changes,
    }  # fmt: skip


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "feedback"
    folder.mkdir()
    ask = [f"Tell me about {topic}" for topic in TOPICS]
    files = {
        "a": batch(1, "No emojis please!", ["Hi"]),
        "b": batch(2, "Keep it under 10 words", ask[:6]),
        "c": batch(3, "keep it  under 10 words.", [*ask[6:], ask[0].upper()], error="CUDA out of memory"),
        "d": {"requests": 3},
        "e": batch(5, "x", ["y"], timestamp_utc="yesterday"),
    }
    for name, values in files.items():
        (folder / f"2026-{name}.json").write_text(json.dumps(values))
    (folder / "2026-f.json").write_text('{"cut')
    (folder / "2026-g.json").symlink_to(folder / "2026-a.json")
    return folder


def test_a_log_says_what_was_asked_how_often_and_what_is_covered_and_names_what_it_could_not_read(claas_eval, own, log):
    done = claas_eval("log", str(log), COLUMNS="160")
    assert done.returncode == 1
    assert "7 files, 14 items of feedback, 7 of them in batches that failed; 4 files not read" in done.stdout
    often, seldom = [line for line in done.stdout.splitlines() if "openclaw" in line]
    assert often.split()[0] == "13"
    assert "2026-02-02 10:00" in often
    assert "2026-02-03 10:00" in often
    assert often.rstrip().endswith("none")
    assert seldom.rstrip().endswith("no_emoji")
    for name in "defg":
        assert f"2026-{name}.json was not read: " in done.stderr


@pytest.mark.parametrize("command", [("new", "short", "--from-log"), ("log", "--draft", "short")])
def test_a_file_is_drafted_from_a_log_without_leaks(claas_eval, own, log, command):
    done = claas_eval(*command, str(log))
    assert "Written" in done.stdout
    preference = load_preference("short", own)
    assert preference.feedback_string == "Keep it under 10 words"
    assert preference.verifier == {"_target_": "MaxWords", "count": 9}
    assert (len(preference.probe_prompts), len(preference.heldout_prompts)) == (4, 8)
    assert preference.from_bank == ("over_application",)
    assert not [
        (one, other)
        for one in preference.probe_prompts
        for other in preference.heldout_prompts
        if nearly_one(one, other)
    ]


def test_a_log_with_few_prompts_leaves_them_to_the_bank(claas_eval, own, log):
    done = claas_eval("new", "plain", "--from-log", str(log), "--feedback", "no emojis, please")
    assert done.returncode == 0
    assert "those of the general bank are used" in done.stdout
    assert load_preference("plain", own).from_bank == ("probe_prompts", "heldout_prompts", "over_application")
    wrong = claas_eval("new", "other", "--from-log", str(log), "--feedback", "Sing")
    assert wrong.returncode == 2
    assert 'nobody asked for "Sing"' in wrong.stderr


def test_a_printed_command_can_be_pasted_where_a_folder_has_a_blank(claas_eval, tmp_path):
    done = claas_eval("new", "french", "--feedback", "Always answer in French", "--dir", str(tmp_path / "my own"))
    command = done.stdout.splitlines()[-1].partition("then: ")[2]
    assert shlex.split(command)[1:] == ["preferences=[french]", f"preferences_dir={tmp_path / 'my own'}"]
