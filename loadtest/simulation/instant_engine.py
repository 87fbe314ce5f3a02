"""An engine process whose model takes no time, as its supervisor starts it."""

import sys

from qdts.loadtest.simulation.costs import INSTANT
from qdts.loadtest.simulation.instant_front import unpack
from qdts.loadtest.simulation.summarizer import SimulatedSummarizer
from qdts.service.processes import engine_process

if __name__ == "__main__":
    sys.exit(engine_process.run(load=lambda config: SimulatedSummarizer(INSTANT), unpack=unpack))
