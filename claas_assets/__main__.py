"""`claas-eval`, and `python -m claas_assets`: nothing is imported before Ctrl-C is an end without a traceback."""

import sys


def main() -> None:
    try:
        from claas_assets.cli.main import main as evaluate

        evaluate()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
