"""`python -m claas_assets` is `claas-eval`."""

from claas_assets.cli.main import main

main()
