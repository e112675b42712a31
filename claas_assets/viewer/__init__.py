"""Result pages from files alone: a local web application, and a report that is one file."""

DEFAULT_PORT = 8765
"""Of `claas-eval view`, and of the links to it, unless told otherwise."""
