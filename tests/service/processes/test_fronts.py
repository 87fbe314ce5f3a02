"""What a front is told: the supervisor's port, an operators' port of its own, its share of the quotas."""

from dataclasses import replace

from qdts.service.admin_config import AdminConfig
from qdts.service.config import MetricsConfig, ServerConfig
from qdts.service.processes.config import ProcessesConfig
from qdts.service.processes.fronts import front_config, leave_s, share_of
from qdts.service.quotas import QuotaConfig, parse_rates


def test_quotas_are_shared_out() -> None:
    config = QuotaConfig(default_rate=300, tenants="search=20000, ads=1", burst_s=7)
    share = share_of(config, 3)
    assert share.default_rate == 100 and share.burst_s == 7
    whole = {name: 3 * rate for name, rate in parse_rates(share.tenants).items()}
    assert whole.keys() == {"search", "ads"} and abs(whole["search"] - 20000) < 1e-6 and abs(whole["ads"] - 1) < 1e-9


def test_no_quota_stays_no_quota() -> None:
    assert share_of(QuotaConfig(), 4) == QuotaConfig()


def test_settings_of_a_front() -> None:
    config = ServerConfig(
        processes=ProcessesConfig(fronts=2, engines=3),
        metrics=MetricsConfig(enabled=False, host="0.0.0.0", port=9999),
        admin=AdminConfig(port=50052, token_file="/run/secrets/operators"),
    )
    told = front_config(config, port=4711, directory="/somewhere")
    assert told.server == replace(config.server, port=4711)
    assert told.metrics == MetricsConfig(host="127.0.0.1", port=0)  # for the supervisor, whoever else asks or not
    assert told.processes == ProcessesConfig(fronts=2, engines=3, directory="/somewhere")
    assert told.admin == AdminConfig(), "operators speak to the supervisor"
    own = {name: getattr(config, name) for name in ("server", "metrics", "admin", "processes")}
    assert replace(told, **own) == config


def test_a_front_gets_all_the_time_that_its_drain_may_take() -> None:
    config = ServerConfig()
    assert leave_s(config) > config.server.drain_delay_s + config.server.drain_grace_s
