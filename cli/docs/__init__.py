"""The documentation: guides beside this file, and a page per command written by `python -m cli.docs`."""
