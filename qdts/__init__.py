"""qdts: short, faithful, query-driven summaries inside a hard latency budget."""

__version__ = "0.1.0"
