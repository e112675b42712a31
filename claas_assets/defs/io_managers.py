"""The IO managers own the layout of a run folder: an asset returns a record, these write and read it."""

from typing import Any

import dagster as dg
from upath import UPath

from claas_assets.defs.run_folder import ASSET_FILES, RunFolder
from claas_assets.evaluation.errors import RunFolderError
from claas_assets.evaluation.storage import run_files
from claas_assets.evaluation.storage.stores import Place, size_of

BY_PARTITION = {"by_partition": True}
"""Metadata of an input that takes all partitions: a dict by partition of those that are there."""


class RunFolderIOManager(dg.UPathIOManager):
    """`<run folder>/<preference>/<file>`, or `<run folder>/<file>` for an unpartitioned asset."""

    extension = None

    def __init__(self, folder: Place) -> None:
        super().__init__(base_path=UPath(folder))
        self.folder = folder

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        return UPath(ASSET_FILES[_asset_name(context)])

    def get_path_for_partition(self, context: dg.InputContext | dg.OutputContext, path: UPath, partition: str) -> UPath:
        return UPath(self.folder / partition / path.name)

    def make_directory(self, path: UPath) -> None:
        """`write_asset` makes what it needs; an object store has no folders, and s3fs would make a bucket."""

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        run_files.write_asset(_asset_name(context), path, obj)

    def get_metadata(self, context: dg.OutputContext, obj: Any) -> dict[str, dg.MetadataValue]:
        """The size of what was just written."""
        folder = self.folder / context.asset_partition_key if context.has_asset_partitions else self.folder
        return {"size_bytes": dg.MetadataValue.int(size_of(folder / ASSET_FILES[_asset_name(context)]))}

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        return run_files.read_asset(_asset_name(context), path)

    def load_input(self, context: dg.InputContext) -> Any:
        name = _asset_name(context)
        if (context.definition_metadata or {}).get("by_partition"):
            paths = {key: self.folder / key / ASSET_FILES[name] for key in context.asset_partition_keys}
            return {
                key: run_files.read_asset(name, path) for key, path in paths.items() if run_files.has_asset(name, path)
            }
        key = context.asset_partition_key if context.has_asset_partitions else None
        path = self.folder / key / ASSET_FILES[name] if key else self.folder / ASSET_FILES[name]
        if name != "training_steps" and not run_files.has_asset(name, path):
            raise RunFolderError(f"{path} is not there: materialize {name} first" + (f" for {key}" if key else ""))
        return run_files.read_asset(name, path)


def _asset_name(context: dg.InputContext | dg.OutputContext) -> str:
    return context.asset_key.path[-1]


class RunFolderFiles(dg.ConfigurableIOManagerFactory):
    """Makes the IO manager of the run's folder."""

    run_folder: dg.ResourceDependency[RunFolder]

    def create_io_manager(self, context: dg.InitResourceContext) -> RunFolderIOManager:
        return RunFolderIOManager(self.run_folder.path)
