"""Measuring a trained network on labelled images."""
