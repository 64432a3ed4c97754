"""Standalone HTML pages: a network's page, a training run's report. Standard library alone."""
