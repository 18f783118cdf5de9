"""Latencies in buckets, so that two processes can be put together. 1.6 % resolution."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

STEPS = 64


def buckets(latencies: Iterable[float]) -> Counter[int]:
    """Count seconds by bucket: STEPS of them for each power of two."""
    log2, floor = math.log2, math.floor
    return Counter(floor(log2(max(latency, 1e-9)) * STEPS) for latency in latencies)


def quantile_ms(counts: Counter[int], quantile: float) -> float:
    wanted = int(quantile * counts.total())
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen > wanted:
            return float(2 ** ((bucket + 0.5) / STEPS)) * 1e3
    return 0.0
