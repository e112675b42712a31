"""Names from a request → folders below the results folder."""

from pathlib import Path

from starlette.exceptions import HTTPException

from claas_assets.evaluation.errors import ConfigError
from claas_assets.evaluation.runs.catalog import list_runs, run_overview
from claas_assets.evaluation.runs.overview import RunOverview
from claas_assets.evaluation.storage.names import check_run_id, is_preference_name


class ResultsFolder:
    """Names → folders below the results folder, checked before they become paths."""

    def __init__(self, root: Path, only: str | None = None) -> None:
        self.root = root.resolve()
        self.shown = str(root)  # as it was named: an absolute path tells a reader nothing more
        self.only = only

    def results(self, asked: str | None) -> Path:
        """The folder that a query names. 400 where it leads out of the configured one, by links too."""
        if asked is None:
            return self.root
        try:
            folder = Path(asked).resolve()
        except (ValueError, OSError) as error:
            raise HTTPException(400, "results_dir is not a path.") from error
        if not folder.is_relative_to(self.root):
            raise HTTPException(400, "results_dir is outside the results folder that this server shows.")
        return folder

    def listed(self, folder: Path) -> list[RunOverview]:
        runs = list_runs(folder)
        return runs if self.only is None else [run for run in runs if run.run_id == self.only]

    def run(self, run_id: str) -> tuple[Path, RunOverview]:
        nothing = HTTPException(404, f"There is no such run: {run_id[:200]}")
        try:
            folder = self.root / check_run_id(run_id)
        except ConfigError as error:
            raise nothing from error
        inside = folder.resolve().is_relative_to(self.root)
        overview = run_overview(folder) if inside and self.only in (None, run_id) else None
        if overview is None:
            raise nothing
        return folder, overview

    def sweep(self, sweep_id: str) -> list[Path]:
        """The folders of a sweep's runs, by name."""
        try:
            runs = [run for run in self.listed(self.root) if run.sweep_id == check_run_id(sweep_id)]
        except ConfigError:
            runs = []
        if not runs:
            raise HTTPException(404, f"No run here is of sweep {sweep_id[:200]}.")
        return sorted(self.root / run.run_id for run in runs)

    def preference(self, run_id: str, name: str) -> tuple[Path, RunOverview]:
        folder, overview = self.run(run_id)
        path = folder / name
        if not is_preference_name(name) or path.is_symlink() or not path.is_dir():
            raise HTTPException(404, "There is no such preference in this run.")
        return path, overview
