"""The check, from who answers to what an evaluation will cost. What it makes it deletes again."""

import contextlib
import secrets
from collections.abc import Callable

from claas_assets.evaluation.check.bench import SHORT_QUESTION, Bench
from claas_assets.evaluation.check.findings import Finding, Report
from claas_assets.evaluation.check.forecast import say_forecast
from claas_assets.evaluation.check.learning import check_learning
from claas_assets.evaluation.check.speaking import check_scoring, check_speaking
from claas_assets.evaluation.config import EvalConfig
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.gateway import prove_gateway
from claas_assets.evaluation.deployment.locks import deployment_lock
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.deployment.transport import RetryBudget
from claas_assets.evaluation.errors import DeploymentError, GatewayUnproven, MalformedAnswer, RequestRefused
from claas_assets.evaluation.preferences.sequence import PreferenceSequence
from claas_assets.evaluation.training.sampler import put_sampler_on

_QUICK = RetryBudget(attempts=2, total_s=30.0, wait_initial_s=0.2, wait_max_s=1.0)


async def check_deployment(
    config: EvalConfig,
    claas_url: str,
    token: str | None,
    sequences: list[PreferenceSequence],
    hear: Callable[[Finding], None] = lambda finding: None,
) -> Report:
    """All findings. CLaaS is spoken to directly; the gateway, where there is one, is asked whom it serves."""
    report = Report(hear)
    # Throwaway adapters are made, also where the evaluation is to audit one: that one is left alone.
    direct = routes_for(config.model_copy(update={"openclaw_url": None, "lora_id": None}), claas_url, None)
    holding = deployment_lock(claas_url) if direct.engine.one_sampler else contextlib.nullcontext()
    with holding:
        async with ClaasClient(direct, max_concurrency=config.max_concurrency, retry=_QUICK) as client:
            bench = Bench(client, config, report)
            served = await _who_answers(bench)
            if served is None:
                return report
            await _on_throwaway_adapters(bench, served, token, sequences)
    return report


async def _who_answers(bench: Bench) -> list[str] | None:
    """The adapters that are there; None where an evaluation has no deployment."""
    try:
        there = await bench.client.describe()
    except DeploymentError as error:
        bench.report.blocks("who answers", str(error))
        return None
    bench.report.ok("who answers", f"{there.name or 'a CLaaS'} {there.version or 'of unknown version'} at {there.url}")
    try:
        adapters = await bench.client.adapters()
    except RequestRefused:
        bench.report.note("adapters", "they cannot be listed")
        return []
    foreign = [name for name in adapters if not name.startswith(f"{bench.config.lora_id_prefix}/")]
    if foreign:
        todo = "If people use them: an evaluation shares the completion cache (100 answers) with their feedback"
        bench.report.note("other traffic", f"{len(foreign)} adapters that are no evaluation's", todo)
    return adapters


async def _on_throwaway_adapters(
    bench: Bench, there: list[str], token: str | None, sequences: list[PreferenceSequence]
) -> None:
    made: list[str] = []
    one_sampler = bench.client.routes.engine.one_sampler
    was_on = await _sampler_path(bench) if one_sampler else None
    try:
        bench.trained = await _init(bench, made, "trained")
        if not one_sampler:
            bench.bystander = await _init(bench, made, "bystander")
        else:
            await put_sampler_on(bench.client, None)
        for part, name in ((check_speaking, "chat"), (check_scoring, "score"), (check_learning, "feedback")):
            try:
                await part(bench)
            except (RequestRefused, MalformedAnswer) as error:  # of one call: the next part may tell more
                bench.report.blocks(name, f"failed: {error}")
        await _gateway(bench, token)
        _times(bench)
        say_forecast(bench, sequences)
    except DeploymentError as error:
        bench.report.blocks("check", f"could not go on: {error}")
    finally:
        if one_sampler:
            await put_sampler_on(bench.client, was_on)
        await _delete(bench, made)


async def _sampler_path(bench: Bench) -> str | None:
    try:
        path = (await bench.client.sampler_status()).model_path
    except RequestRefused as error:
        todo = "Baselines cannot be measured here: update the deployment"
        bench.report.note("sampler", f"it does not say what it serves ({error.status})", todo)
        return None
    if path is not None:
        bench.report.note(
            "sampler", f"it serves {path}, and is shared: it moves under whoever uses it now",
            "Evaluate while nobody chats; it is put back",
        )  # fmt: skip
    return path


async def _init(bench: Bench, made: list[str], role: str) -> str:
    config = bench.config
    wanted = f"{config.lora_id_prefix}/check-{role}-{secrets.token_hex(4)}"
    try:
        lora_id = await bench.client.init_adapter(wanted, config.base_model, config.lora)
    except RequestRefused as error:
        bench.report.blocks("base_model", f"{config.base_model} is refused: {error}")
        raise
    made.append(lora_id)
    if role == "trained":
        bench.report.ok("base_model", f"{config.base_model} is known; an adapter of it was made as {lora_id}")
    return lora_id


async def _delete(bench: Bench, made: list[str]) -> None:
    for lora_id in made:
        try:
            gone = await bench.client.delete_adapter(lora_id)
        except DeploymentError as error:
            gone = False
            bench.report.note("left behind", f"{lora_id}: {error}")
        if not gone:
            bench.report.left.append(lora_id)
    if bench.report.left:
        bench.report.note("left behind", f"could not be deleted: {', '.join(bench.report.left)}")


async def _gateway(bench: Bench, token: str | None) -> None:
    config = bench.config
    if config.openclaw_url is None:
        return
    routes = routes_for(config, bench.client.routes.claas_url, token)
    try:
        async with ClaasClient(routes, max_concurrency=config.max_concurrency, retry=_QUICK) as through:
            proof = await prove_gateway(through, bench.trained, allow_unproven=False)
            answer = await bench.timed(
                "chat through the gateway",
                through.chat((("user", SHORT_QUESTION),), lora_id=bench.trained, temperature=0, max_tokens=8),
            )
    except GatewayUnproven as error:
        bench.report.blocks("gateway", str(error))
    except DeploymentError as error:
        bench.report.blocks("gateway", f"{error}", "`claas-eval gateway-config` prints a configuration that works")
    else:
        assert proof is not None
        bench.report.ok("gateway", f"{proof.said}; {answer.latency_s:.1f} s an answer")


def _times(bench: Bench) -> None:
    kinds = ("chat", "batch", "score", "feedback", "chat through the gateway")
    known = [f"{kind} {took:.2f} s" for kind in kinds if (took := bench.took(kind)) is not None]
    bench.report.ok("times", ", ".join(known))
