"""`claas-eval clean`: list the adapters that finished evaluations left on a deployment, and delete them with `--yes`.

    claas-eval clean                                  # lists
    claas-eval clean --yes --claas-url http://localhost:8080

An adapter goes only where a run folder names it and every preference of that folder is complete (all
steps recorded, with a verdict). Others stay, whoever made them. The results stay too; but a run whose
adapter is gone cannot be given more steps.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence

from claas_assets.cli.folders import DEFAULT_RESULTS, local_folder
from claas_assets.evaluation.config import EvalConfig, load_config
from claas_assets.evaluation.deployment.client import ClaasClient
from claas_assets.evaluation.deployment.routes import routes_for
from claas_assets.evaluation.deployment.transport import RetryBudget
from claas_assets.evaluation.errors import DeploymentError
from claas_assets.evaluation.runs.retention import StoredRun, is_running, read_runs
from claas_assets.evaluation.storage.names import check_lora_prefix
from claas_assets.evaluation.storage.records import AdapterRecord


def run(arguments: list[str]) -> int:
    """Returns the exit code: 0, or 1 where a deployment did not answer or refused."""
    options = _parser().parse_args(arguments)
    prefix = f"{check_lora_prefix(options.prefix)}/"
    runs, _ = read_runs(options.results_dir)
    wanted = by_address(finished_adapters(runs, prefix), options.claas_url)
    return _clean(wanted, prefix, delete=options.yes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="claas-eval clean", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "results_dir", nargs="?", type=local_folder, default=DEFAULT_RESULTS, help="default: %(default)s"
    )
    parser.add_argument("--prefix", default="eval", help="of the adapters' names (lora_id_prefix); default: eval")
    parser.add_argument("--claas-url", help="the deployment; default: the address that each adapter was made at")
    parser.add_argument("--yes", action="store_true", help="delete; without it they are only listed")
    return parser


def finished_adapters(runs: Sequence[StoredRun], prefix: str) -> list[AdapterRecord]:
    """Those of complete run folders, less any that an unfinished or running folder names too (a copy, say)."""
    done = [run for run in runs if run.complete and not is_running(run)]
    needed = {adapter.lora_id for run in runs if run not in done for adapter in run.adapters.values()}
    adapters = [adapter for run in done for adapter in run.adapters.values()]
    adapters = [adapter for adapter in adapters if adapter.audited is None]  # an audited one is people's
    return [a for a in adapters if a.lora_id.startswith(prefix) and a.lora_id.isprintable() and a.lora_id not in needed]


def by_address(adapters: Sequence[AdapterRecord], claas_url: str | None) -> dict[EvalConfig, set[str]]:
    """Adapter ids by the deployment to ask. Raises `ConfigError` for an address that is none."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for adapter in adapters:
        url = claas_url or str(adapter.provenance.deployment.get("url") or "")
        if url:
            wanted.setdefault((str(adapter.config.get("mode", "embedded")), url.rstrip("/")), set()).add(
                adapter.lora_id
            )
        else:
            print(f"{adapter.lora_id}: no address is recorded; name it with --claas-url", file=sys.stderr)
    return {
        load_config({"mode": mode, "claas_url": url, "openclaw_url": None}): ids for (mode, url), ids in wanted.items()
    }


def _clean(wanted: Mapping[EvalConfig, set[str]], prefix: str, *, delete: bool) -> int:
    failed, found = False, 0
    for config, ids in wanted.items():
        try:
            found += asyncio.run(_clean_one(config, ids, prefix, delete=delete))
        except DeploymentError as error:
            print(f"claas-eval clean: {error}", file=sys.stderr)
            failed = True
    if not delete and found:
        print(f"{found} adapters would go; --yes deletes them")
    elif not found and not failed:
        print("no adapter of a finished evaluation is left on a deployment")
    return 1 if failed else 0


async def _clean_one(config: EvalConfig, ids: set[str], prefix: str, *, delete: bool) -> int:
    """Returns how many of `ids` were on the deployment."""
    assert config.claas_url is not None
    async with ClaasClient(routes_for(config, config.claas_url, None), retry=RetryBudget(attempts=2)) as client:
        there = [lora_id for lora_id in await client.adapters(prefix) if lora_id in ids]
        for lora_id in there:
            gone = await client.delete_adapter(lora_id) if delete else None
            said = {None: "deletes", True: "deleted", False: "was gone already:"}[gone]
            print(f"{said}  {lora_id}  at {config.claas_url}")
    return len(there)
