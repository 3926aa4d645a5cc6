"""The workload log on disk (Parquet files), and the checked JSON artefacts."""
