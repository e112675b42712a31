"""What the harness promises, measured: run one with `python -m benchmarks.<name>`."""
