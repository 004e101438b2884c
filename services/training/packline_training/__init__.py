"""Datasets, runs, AutoML and the registry of versions; knows tasks only by the Task protocol."""
