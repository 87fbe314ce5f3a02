"""The ways in which processes of a server end: killed, replaced one by one, replaced with their model, restarted."""

from collections.abc import Mapping, Sequence

from qdts.loadtest.process_trial import Disruption, TrialConfig, disrupt
from qdts.loadtest.simulation.fleet import PACED_MODULES, Fleet
from qdts.loadtest.simulation.pair import Pair
from qdts.loadtest.simulation.server import QUIET
from qdts.service.bench.driver import DriverConfig
from qdts.service.config import Value, load_config

NUM_FRONTS = 2
FRONTS = tuple(f"front-{number}" for number in range(NUM_FRONTS))
# Fronts that are replaced go when their connections have ended.
SETTINGS: Mapping[str, Value] = {
    **QUIET,
    "server.drain_grace_s": 10.0,
    "engine.max_batch": 8,
    "processes.fronts": NUM_FRONTS,
    "transport.max_connection_age_s": 4.0,
}
FLEET_FAULTS = ("engine_killed", "front_killed", "hot_swap", "renewal")
PROCESS_FAULTS = (*FLEET_FAULTS, "rolling_restart")


async def suffer_all(names: Sequence[str], config: TrialConfig) -> dict[str, dict[str, object]]:
    """Figures by name; the ones that befall a server of several processes befall the same one in turn."""
    by_name: dict[str, dict[str, object]] = {}
    if asked := [name for name in names if name in FLEET_FAULTS]:
        with Fleet(load_config(None, {}, SETTINGS), PACED_MODULES) as fleet:
            driver = DriverConfig(url=fleet.url, num_connections=config.num_connections)
            for name in asked:
                by_name[name] = await disrupt(fleet_disruption(name, fleet), driver, config)
    if "rolling_restart" in names:
        with Pair() as pair:
            driver = DriverConfig(url=pair.url, num_connections=config.num_connections, is_balanced=True)
            rolling = Disruption(begin=pair.restart_each, is_whole=pair.has_restarted)
            by_name["rolling_restart"] = await disrupt(rolling, driver, config)
    return by_name


def fleet_disruption(name: str, fleet: Fleet) -> Disruption:
    """One of FLEET_FAULTS."""
    before = fleet.pids
    begin, replaced = {
        "engine_killed": (lambda: fleet.kill("engine-0"), ("engine-0",)),
        "front_killed": (lambda: fleet.kill("front-0"), ("front-0",)),
        "hot_swap": (fleet.swap_model, ("engine-0",)),
        "renewal": (fleet.renew, FRONTS),
    }[name]
    return Disruption(
        begin=begin,
        is_whole=lambda: fleet.has_replaced(replaced, before),
        takes_its_calls=name == "front_killed",
    )
