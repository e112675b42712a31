"""What evaluations on one deployment share: slots, feedback, the deployment itself. Two processes are two objects here:
file locks of two descriptors exclude each other in one process, too."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import pytest

from claas_assets.evaluation import lock_folder
from claas_assets.evaluation.deployment import locks
from claas_assets.evaluation.deployment.locks import Slots, deployment_key, deployment_lock, feedback_lock
from claas_assets.evaluation.errors import EvaluationError

URL = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLAAS_ASSETS_LOCKS", str(tmp_path))


class Crowd:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.peak = 0
        self.order: list[int] = []

    async def enter(self, door, number: int = 0) -> None:
        async with door:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
            self.order.append(number)
            await asyncio.sleep(0.005)
            self.inside -= 1


def test_two_evaluations_together_have_no_more_in_flight_than_the_limit():
    async def both() -> Crowd:
        crowd, one, other = Crowd(), Slots(URL, 3), Slots(URL, 3)
        await asyncio.gather(*(crowd.enter(door) for door in [one, other] * 12))
        return crowd

    crowd = asyncio.run(both())
    assert crowd.peak == 3
    assert len(crowd.order) == 24


def test_within_one_evaluation_it_is_first_come_first_served():
    async def many() -> Crowd:
        crowd, slots = Crowd(), Slots(URL, 2)
        await asyncio.gather(*(crowd.enter(slots, number) for number in range(20)))
        return crowd

    assert asyncio.run(many()).order == list(range(20))


def test_a_request_that_is_cancelled_gives_its_slot_back():
    async def use() -> None:
        slots = Slots(URL, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), slots:
                await asyncio.sleep(10)
        async with asyncio.timeout(5), slots:
            pass

    asyncio.run(use())


def test_a_slot_is_looked_for_first_where_it_was_given_back_last(monkeypatch):
    """Each look costs: with most slots in others' hands, looking at all in turn was most of what a request took."""
    looks = []

    async def use() -> None:
        others, own = Slots(URL, 20), Slots(URL, 20)
        for _ in range(19):
            await others.__aenter__()
        async with own:
            pass
        monkeypatch.setattr(locks, "take", lambda lock: looks.append(lock) or lock_folder.take(lock))
        for _ in range(3):
            async with own:
                pass

    asyncio.run(use())
    assert len(looks) == 3


def test_slots_of_another_deployment_are_others():
    async def use() -> int:
        crowd = Crowd()
        doors = [Slots(f"{URL}/{i}", 1) for i in range(4)]
        await asyncio.gather(*(crowd.enter(door) for door in doors))
        return crowd.peak

    assert asyncio.run(use()) == 4


def test_one_feedback_at_a_time():
    async def use() -> Crowd:
        crowd = Crowd()
        await asyncio.gather(*(crowd.enter(feedback_lock(URL)) for _ in range(5)))
        return crowd

    crowd = asyncio.run(use())
    assert (crowd.peak, len(crowd.order)) == (1, 5)


def test_the_deployment_is_held_across_processes_and_again_in_one():
    waits = (
        "from claas_assets.evaluation.deployment.locks import deployment_lock\n"
        f"with deployment_lock({URL!r}, on_wait=lambda holder: print('waiting', flush=True)): print('in', flush=True)"
    )
    with deployment_lock(URL), deployment_lock(URL):
        other = subprocess.Popen([sys.executable, "-c", waits], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
        assert other.poll() is None
    assert other.communicate(timeout=30)[0] == "in\n"


@pytest.mark.parametrize("spelled", ["http://localhost:8080", "http://LOCALHOST:8080/", "http://[::1]:8080"])
def test_one_deployment_has_one_key_however_its_address_is_spelled(spelled):
    assert deployment_key(spelled) == deployment_key("http://127.0.0.1:8080")


def test_another_port_path_or_host_is_another_deployment():
    addresses = ["http://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1:8080/b", "http://192.0.2.7:8080"]
    assert len({deployment_key(address) for address in addresses}) == len(addresses)


def test_no_user_of_the_machine_locks_another_out(tmp_path):
    with deployment_lock(URL):
        assert tmp_path.stat().st_mode & 0o7777 == 0o777
        assert {path.stat().st_mode & 0o666 for path in tmp_path.glob("*.lock")} == {0o666}


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can be two users")
def test_each_of_two_users_takes_the_lock_that_the_other_one_made(tmp_path):
    """The second one's files are locked by the first one, who owns the folder."""
    with tempfile.TemporaryDirectory(dir="/tmp") as open_to_all:
        os.chmod(open_to_all, 0o777)
        code = (
            "import os, sys; from claas_assets.evaluation.lock_folder import machine_lock, take;"
            "os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1])); assert take(machine_lock(sys.argv[2]))"
        )
        environment = {**os.environ, "CLAAS_ASSETS_LOCKS": f"{open_to_all}/shared"}
        for user, name in (("12345", "a"), ("12346", "a"), ("12346", "b"), ("12345", "b")):
            command = [sys.executable, "-c", code, user, name]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr


def test_old_lock_files_that_nobody_holds_are_removed(tmp_path):
    with deployment_lock(URL):
        held = {path.name for path in tmp_path.iterdir()}
        for number in range(40):
            (tmp_path / f"left{number}.lock").touch()
        for path in tmp_path.iterdir():
            os.utime(path, (1, 1))
        (tmp_path / "new.lock").touch()
        lock_folder._tidy.cache_clear()
        with deployment_lock("http://127.0.0.1:8123"):
            left = {path.name for path in tmp_path.iterdir()}
    assert not any(name.startswith("left") for name in left)
    assert {"new.lock", *held} <= left


def test_a_file_system_that_cannot_lock_is_one_clear_error_at_once(monkeypatch):
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    async def enter() -> None:
        async with Slots(URL, 2):
            raise AssertionError("there is no lock to be had")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(EvaluationError, match=r"cannot be locked.*CLAAS_ASSETS_LOCKS"):
        deployment_lock(URL).__enter__()
    with pytest.raises(EvaluationError, match=r"cannot be locked.*CLAAS_ASSETS_LOCKS"):
        asyncio.run(enter())


def test_a_folder_that_holds_no_locks_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLAAS_ASSETS_LOCKS", str(tmp_path / "file"))
    with pytest.raises(EvaluationError, match=r"file: locks cannot be kept there.*CLAAS_ASSETS_LOCKS"):
        deployment_lock(URL).__enter__()


def test_the_longer_requests_take_the_seldomer_a_free_place_is_looked_for(monkeypatch):
    looks = []
    monkeypatch.setattr(locks, "take", lambda lock: looks.append(lock))  # none is free

    async def wait(hold_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await locks._acquire([None] * 3, hold_s)

    asyncio.run(wait(10.0))
    assert 3 <= len(looks) <= 4 * 3
    paused = []

    async def slept(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == 3:
            raise TimeoutError

    # In this module alone: `asyncio.sleep` itself is also what a fake's server waits with.
    monkeypatch.setattr(locks, "asyncio", SimpleNamespace(sleep=slept))
    for hold_s in (0.0, 1.0, 100.0):
        with pytest.raises(TimeoutError):
            asyncio.run(locks._acquire([None], hold_s))
        assert paused == [{0.0: 0.005, 1.0: 0.02, 100.0: 0.2}[hold_s]] * 3
        paused.clear()
