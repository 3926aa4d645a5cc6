"""The workload log on disk: Parquet files that many processes write and anyone reads; and checked JSON documents."""
