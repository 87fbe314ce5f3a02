"""What the start-up measurement counts."""

import os

from qdts.loadtest.bench_startup import free_port, measure_install, resident_mb


def test_counts_the_packages_of_this_environment() -> None:
    figures = measure_install()
    assert isinstance(figures["packages"], int) and figures["packages"] > 20
    assert isinstance(figures["megabytes"], float) and figures["megabytes"] > 50
    assert figures["has_torch"] is True  # the development environment trains


def test_memory_is_that_of_the_process() -> None:
    assert 5 < resident_mb(os.getpid()) < 20_000


def test_a_free_port_can_be_used() -> None:
    assert 1024 < free_port() < 65536
