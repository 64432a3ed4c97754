"""Evaluation of any bundle or run, by any engine, over labelled images. Importing this room loads no engine."""

from __future__ import annotations
