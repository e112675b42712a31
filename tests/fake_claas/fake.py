"""`FakeClaas`: the fake deployment, served, with the handles that tests need."""

from __future__ import annotations

from typing import Any

from tests.fake_claas.app import build_app
from tests.fake_claas.cache import CompletionCache
from tests.fake_claas.deployment import FakeDeployment, Settings
from tests.fake_claas.faults import Faults
from tests.fake_claas.profiles import PROFILES
from tests.fake_claas.recorder import Log, Recorder
from tests.fake_claas.serving import Serving


class FakeClaas:
    """A deployment of `mode` at `url`.

    `settings` are those of `Settings` (generation, temper, context_tokens, …); `log`, `faults` and
    `latency_s` (seconds by path) may be used while it runs, `deployment` holds its state.
    """

    def __init__(self, mode: str = "embedded", *, port: int = 0, **settings: Any) -> None:
        self.mode = mode
        self.settings = Settings(**settings)
        self.deployment = FakeDeployment(PROFILES[mode], self.settings)
        self.log = Log()
        self.faults = Faults()
        self.latency_s: dict[str, float] = {}
        self._recorder = Recorder(build_app(self.deployment), self.log, self.faults, self.latency_s)
        self._serving = Serving(self._recorder, port)
        self.url = self._serving.url

    @property
    def updates(self) -> dict[str, int]:
        """Gradient updates made, by adapter."""
        return {lora_id: adapter.updates for lora_id, adapter in self.deployment.adapters.items()}

    def close(self) -> None:
        self._serving.close()

    def die(self) -> None:
        """As `close`, for a fault (`calling(fake.die)`): from within the server's own thread."""
        self._serving.abort()

    def restart(self, *, moved: bool = False) -> None:
        """The process ended and was started again: adapters are kept, what is in memory is lost.

        On the same port, or (`moved`) on another one, where `url` then is.
        """
        self._serving.close()
        self.deployment.cache = CompletionCache()
        self.deployment.sampler_path = None
        self._serving = Serving(self._recorder, 0 if moved else int(self.url.rsplit(":", 1)[1]))
        self.url = self._serving.url

    def __enter__(self) -> FakeClaas:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
