"""Runs a benchmark on one platform: warm-up, repetitions, statistics, environment."""
