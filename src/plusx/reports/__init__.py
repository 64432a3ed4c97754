"""Standalone HTML pages: the page of a network and the report of a training run."""
