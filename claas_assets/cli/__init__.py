"""`claas-eval`: the Hydra application, its subcommands, and what the terminal shows.

Public: `main.main`, the entry point. `main.SUBCOMMANDS` lists the modules with a `run(arguments) -> exit code`.
"""
