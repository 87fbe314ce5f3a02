"""An engine process whose model takes its time without a processor, as its supervisor starts it."""

import sys

from qdts.loadtest.simulation.costs import PACED
from qdts.loadtest.simulation.instant_front import unpack
from qdts.loadtest.simulation.summarizer import SimulatedSummarizer
from qdts.service.processes import engine_process

if __name__ == "__main__":
    sys.exit(engine_process.run(load=lambda config: SimulatedSummarizer(PACED), unpack=unpack))
