"""How the deployment answers: with what, how it refuses, and how alike its answers to one question are."""

import asyncio
import re
import time

from claas_assets.evaluation.check.bench import LONG_QUESTION, SHORT_QUESTION, Bench
from claas_assets.evaluation.deployment.responses import TOP_LOGPROBS, Answer
from claas_assets.evaluation.errors import DeploymentError, MalformedAnswer

AT_ONCE = 6
"""Requests of a batch: about what a Tinker server on two cores samples at once."""
_FEW_TOKENS = 4
_OVERLONG = "word " * 300_000
_ENDED = re.compile(r"[.!?…:)\"'*`\d]\s*$")


async def check_speaking(bench: Bench) -> None:
    await _chat(bench)
    await _logprobs(bench)
    await _refusals(bench)
    await _limits(bench)
    await _repeatable(bench)


async def _chat(bench: Bench) -> None:
    answer = await bench.timed("chat", bench.chat(SHORT_QUESTION))
    if answer.text.strip():
        bench.report.ok("chat", f"answers in {answer.latency_s:.1f} s, with a system message")
    else:
        bench.report.blocks("chat", f"an empty answer to {SHORT_QUESTION!r}", "Feedback on it would be refused")
    bare = await bench.client.raw_chat(bench.trained, [("user", SHORT_QUESTION)], max_tokens=_FEW_TOKENS)
    said = "answers" if bare.status == 200 else f"answers {bare.status}"
    bench.report.ok("chat without a system message", f"{said}; feedback on such an answer is refused, so none is sent")


async def _logprobs(bench: Bench) -> None:
    reason = bench.client.routes.logprobs_unavailable
    if reason is not None:
        bench.report.note("logprobs", f"none: {reason}", "Entropy and drift will be null")
        return
    try:
        answer = await bench.chat(SHORT_QUESTION, logprobs=True)
    except MalformedAnswer as error:
        bench.report.blocks("logprobs", f"unusable: {error}", "Mend the server, or its numbers would be lies")
        return
    if answer.logprobs is None:
        todo = "Entropy and drift will be null, and feedback on such an answer is refused: start vLLM with logprobs"
        bench.report.blocks("logprobs", "asked for, and none came", todo)
    elif answer.top_logprobs is None:
        bench.report.note("logprobs", f"{len(answer.logprobs)} of them, no top_logprobs", "Entropy will be null")
    elif answer.top_logprobs < TOP_LOGPROBS:
        todo = f"Entropies are over so many tokens instead of {TOP_LOGPROBS}: raise vLLM's --max-logprobs"
        bench.report.note("logprobs", f"at most {answer.top_logprobs} top_logprobs a token", todo)
    else:
        bench.report.ok("logprobs", f"one a token, with {answer.top_logprobs} top_logprobs")


async def _refusals(bench: Bench) -> None:
    """An empty and an overlong prompt: what they look like when they happen in an evaluation."""
    empty = await bench.client.raw_chat(bench.trained, [("user", "")], max_tokens=_FEW_TOKENS)
    bench.report.ok("an empty prompt", f"answers {empty.status}")
    overlong = await bench.client.raw_chat(bench.trained, [("user", _OVERLONG)], max_tokens=_FEW_TOKENS)
    if overlong.status == 200:
        todo = "A prompt that does not fit may be cut unseen"
        bench.report.note("an overlong prompt", "300,000 words were answered", todo)
    elif overlong.says_context:
        bench.report.ok("an overlong prompt", f"refused with {overlong.status} and the reason")
    else:
        bench.report.ok("an overlong prompt", f"refused with {overlong.status}, which does not say why")


async def _limits(bench: Bench) -> None:
    """Whether a token limit is kept, whether a cut answer can be seen, and whether the server cuts by itself."""
    few = await bench.chat(LONG_QUESTION, max_tokens=_FEW_TOKENS)
    if few.completion_tokens is None:
        todo = "Whether an answer was cut cannot be known: a cut answer looks concise"
        bench.report.note("truncation", "no token counts come with answers", todo)
        return
    if few.completion_tokens > _FEW_TOKENS:
        todo = "Answers take as long as they like, and token limits in the configuration mean nothing"
        bench.report.note("truncation", f"{few.completion_tokens} tokens where {_FEW_TOKENS} were asked for", todo)
        return
    first, second = await bench.chat(LONG_QUESTION, max_tokens=128), await bench.chat(LONG_QUESTION, max_tokens=256)
    cut = _cut_by_server(first, second)
    if cut is not None:
        todo = "Raise the server's own limit: cut answers look concise, and code that is cut is wrong"
        bench.report.blocks(
            "truncation", f"answers end after {cut} tokens in mid-sentence, whatever is asked for", todo
        )
    else:
        bench.report.ok("truncation", f"limits are kept, and a cut answer is seen (finish_reason {few.finish_reason})")


def _cut_by_server(first: Answer, second: Answer) -> int | None:
    """The tokens after which both answers end, neither by its limit nor by itself."""
    same = first.completion_tokens == second.completion_tokens and first.completion_tokens is not None
    ended = any(_ENDED.search(answer.text) for answer in (first, second))
    by_limit = first.truncated or second.truncated
    return first.completion_tokens if same and not ended and not by_limit and first.text else None


async def _repeatable(bench: Bench) -> None:
    alone = [await bench.timed("chat", bench.chat(LONG_QUESTION)) for _ in range(2)]
    began = time.monotonic()
    together = await asyncio.gather(*(bench.chat(LONG_QUESTION) for _ in range(AT_ONCE)))
    bench.seconds["batch"] = [time.monotonic() - began]
    same_alone, same = len({a.text for a in alone}) == 1, len({a.text for a in (*alone, *together)}) == 1
    if same:
        bench.report.ok("repeatable", f"one question at temperature 0 is answered alike, alone and {AT_ONCE} at once")
    else:
        where = "in a batch, not alone" if same_alone else "even alone"
        todo = "The noise floor is measured and the verdict allows for it; more prompts show more"
        bench.report.note("repeatable", f"one question at temperature 0 is answered differently {where}", todo)


async def check_scoring(bench: Bench) -> None:
    """`/v1/score` against itself and against the logprobs of the chat's own answer."""
    question = SHORT_QUESTION
    answer = await bench.chat(question, logprobs=bench.client.routes.logprobs_unavailable is None)
    try:
        score = await bench.score(question, answer.text)
    except MalformedAnswer as error:
        bench.report.blocks("score", f"unusable: {error}", "Mend the server: margins would be lies")
        return
    except DeploymentError as error:
        bench.report.blocks("score", f"fails: {error}", "Leave the metric logprob out, or mend the server")
        return
    bench.report.ok("score", f"{score.completion_tokens} tokens, whose sum is the one that it says")
    if answer.logprobs is None or abs(len(answer.logprobs) - score.completion_tokens) > _SUFFIX:
        bench.report.note("score against chat", "cannot be compared: the tokens are not the same ones")
        return
    n = min(len(answer.logprobs), score.completion_tokens)
    off = abs(sum(answer.logprobs[:n]) - sum(score.logprobs[:n])) / n
    if off <= _AGREES:
        bench.report.ok("score against chat", f"they agree to {off:.3f} nats a token")
    else:
        todo = "One of them uses another precision, prompt or template: margins are of the latter alone"
        bench.report.note("score against chat", f"they differ by {off:.2f} nats a token", todo)


_SUFFIX = 4
"""Tokens of the template's end of turn that a score has and a chat may not."""
_AGREES = 0.1
"""Nats a token: bfloat16 against float32 is below it."""
