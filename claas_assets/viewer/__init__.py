"""Result pages from files alone: a local web application, and a report that is one file."""
