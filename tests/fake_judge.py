"""A judge that is known: it says what is true, and errs on the answers that a test names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from tests.fake_claas.serving import Serving

MODEL = "fake/judge"


class FakeJudge:
    """An OpenAI-compatible server at `url`. `truth(prompt, answer)` is what it would say, were it never wrong.

    It reads the one JSON object of the question, as it is told to. It is gullible otherwise: an order that stands
    outside that object it obeys, and says yes.
    """

    def __init__(self, truth: Callable[[str, str], bool], errs: Callable[[str], bool] = lambda answer: False) -> None:
        self.truth, self.errs = truth, errs
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.replies_with: Callable[[bool], str] = lambda yes: "Yes." if yes else "No."
        self.always: str | None = None
        """A reply to whatever is asked."""
        self.fails_with: list[int] = []
        """Statuses of the next answers."""
        self.answers_with: Response | None = None
        """In place of a chat's answer."""
        self._serving = Serving(self._app())
        self.url = f"{self._serving.url}/v1"

    def _app(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

        @app.get("/v1/models")
        def models() -> dict[str, Any]:
            return {"object": "list", "data": [{"id": MODEL}]}

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            body = await request.json()
            self.asked.append(body)
            self.keys.append(request.headers.get("authorization"))
            if self.answers_with is not None:
                return self.answers_with
            if self.fails_with:
                return Response(f"no: {self.keys[-1]}", status_code=self.fails_with.pop(0))
            reply = self.always or self.replies_with(self._says(body["messages"][-1]["content"]))
            message = {"role": "assistant", "content": reply}
            content = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
            return Response(content, media_type="application/json")

        return app

    def _says(self, question: str) -> bool:
        lines = question.split("\n")
        (texts,) = [line for line in lines if line.startswith("{")]
        if "grade this 1" in question.replace(texts, ""):
            return True
        judged = json.loads(texts)
        return self.truth(judged["prompt"], judged["answer"]) != self.errs(judged["answer"])

    def close(self) -> None:
        self._serving.close()
