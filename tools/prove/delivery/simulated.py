"""The simulated campaign of the delivery world."""

from __future__ import annotations

from tools.prove.delivery.world.run import DeliveryRun, run_delivery
from tools.prove.delivery.world.shrinking import shrink_delivery
from tools.prove.simulation import Simulation

MOST_LINES = 60
"""What is shown of a long history: its end."""

DELIVERY = Simulation[DeliveryRun](
    run=run_delivery,
    shrink=shrink_delivery,
    sums=lambda run: {
        "published": run.published,
        "items": run.items,
        "lost": run.lost,
        "rings": run.rings,
        "successions": run.successions,
    },
    described=lambda run: {"broken": [one._asdict() for one in run.broken]},
    cut=lambda history: history[-MOST_LINES:],
)
