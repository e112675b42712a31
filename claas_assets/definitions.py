"""What Dagster's own commands load: the graph whose launchpad has the chosen configuration."""

from claas_assets.defs.graph import build_definitions
from claas_assets.evaluation.config_files import chosen_config

defs = build_definitions(chosen_config())
