"""A snapshot as Prometheus metrics.

Every metric is computed from the newest snapshot when it is asked for. So nothing is kept between two of them: what is
gone from a daemon is gone from its metrics, and there is no global state.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bitvm.daemon.status import NoticeKind, Severity, Snapshot, WalletStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RUN_BUCKETS = (0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""Upper ends of the buckets for the seconds of a run."""
GAME_STATES = ("open", "running", "won", "lost", "closed")
VERDICTS = ("VALID", "INVALID", "UNKNOWN")

Sample = tuple[Sequence[str], float]


@dataclass(frozen=True, slots=True)
class Meter:
    """A metric: name, meaning, labels, and how its samples come from a snapshot. A total only grows."""

    name: str
    meaning: str
    samples: Callable[[Snapshot], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    total: bool = False

    def read(self, snapshot: Snapshot) -> Metric:
        """Return the metric of a snapshot; without a sample where there is nothing to say."""
        if self.total:
            family: CounterMetricFamily | GaugeMetricFamily = CounterMetricFamily(
                self.name, self.meaning, labels=self.labels
            )
        else:
            family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in self.samples(snapshot):
            family.add_metric(labels, value)
        return family


def _one(value: Callable[[Snapshot], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """Make at most one sample, without labels."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        found = value(snapshot)
        if found is not None:
            yield (), float(found)

    return samples


def _wallet(value: Callable[[WalletStatus], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    """Make a sample of the wallet, if there is one."""
    return _one(lambda it: None if it.wallet is None else value(it.wallet))


def _setups(snapshot: Snapshot) -> Iterator[Sample]:
    counts = Counter("over" if it.over else "funded" if it.funded else "unfunded" for it in snapshot.setups)
    for state in ("unfunded", "funded", "over"):
        yield (state,), counts[state]


def _heights(snapshot: Snapshot) -> Iterator[Sample]:
    for setup in snapshot.setups:
        if setup.height is not None:
            yield (setup.name,), setup.height


def _games(snapshot: Snapshot) -> Iterator[Sample]:
    for setup in snapshot.setups:
        counts = Counter(game.state for game in setup.games)
        for state in dict.fromkeys((*GAME_STATES, *counts)):
            yield (setup.name, state), counts[state]


def _claims(snapshot: Snapshot) -> Iterator[Sample]:
    for setup in snapshot.setups:
        counts = Counter(claim.verdict for claim in setup.claims if claim.made is not None)
        for verdict in dict.fromkeys((*VERDICTS, *counts)):
            yield (setup.name, verdict), counts[verdict]


def _notices(snapshot: Snapshot) -> Iterator[Sample]:
    counts = Counter((notice.kind, notice.severity) for notice in snapshot.notices)
    for kind in NoticeKind:
        for severity in Severity:
            yield (kind.value, severity.value), counts[kind, severity]


def _owed(snapshot: Snapshot) -> int:
    return sum(game.turn == setup.party for setup in snapshot.setups for game in setup.games)


def _fees(snapshot: Snapshot) -> int:
    return sum(game.fees for setup in snapshot.setups for game in setup.games)


def _node_up(snapshot: Snapshot) -> bool:
    return all(notice.kind is not NoticeKind.NODE_UNREACHABLE for notice in snapshot.notices)


METERS = (
    Meter("bitvm_role", "1, with the role as its label.", lambda it: [((it.role,), 1.0)], ("role",)),
    Meter("bitvm_node_up", "1 if the node answered in the last tick, else 0.", _one(_node_up)),
    Meter("bitvm_tip_height", "Height of the newest block of the node.", _one(lambda it: it.tip)),
    Meter("bitvm_acted_height", "Newest block on which every set-up has acted.", _one(lambda it: it.acted)),
    Meter("bitvm_last_tick_timestamp_seconds", "When the last tick ended, since the epoch.", _one(lambda it: it.at)),
    Meter("bitvm_tick_seconds", "How long the last tick took.", _one(lambda it: it.tick_seconds)),
    Meter("bitvm_ticks_total", "Ticks since the start.", _one(lambda it: it.ticks), total=True),
    Meter(
        "bitvm_recovering", "1 while nothing is signed after a restore, else 0.", _one(lambda it: float(it.recovering))
    ),
    Meter("bitvm_setups", "Set-ups by state: unfunded, funded, over.", _setups, ("state",)),
    Meter("bitvm_setup_height", "Newest block on which a set-up has acted.", _heights, ("setup",)),
    Meter(
        "bitvm_games",
        "Games of a set-up by state: open (not challenged), running, won or lost (by the challenger), closed.",
        _games,
        ("setup", "state"),
    ),
    Meter("bitvm_claims", "Claims of a set-up that were made, by our verdict.", _claims, ("setup", "verdict")),
    Meter("bitvm_moves_owed", "Games in which it is our turn.", _one(_owed)),
    Meter(
        "bitvm_nearest_deadline_blocks",
        "Blocks until the nearest deadline of a move that we owe; absent if we owe none.",
        _one(Snapshot.nearest_deadline),
    ),
    Meter("bitvm_wallet_balance_satoshis", "Free coins of the fee wallet.", _wallet(lambda it: it.balance)),
    Meter("bitvm_wallet_coins", "How many free coins the fee wallet holds.", _wallet(lambda it: it.coins)),
    Meter(
        "bitvm_wallet_reserved_satoshis",
        "What is promised to moves that are under way.",
        _wallet(lambda it: it.reserved),
    ),
    Meter(
        "bitvm_wallet_reserve_satoshis",
        "What the worst case of all live games costs at the fee ceiling.",
        _wallet(lambda it: it.reserve),
    ),
    Meter("bitvm_fees_paid_satoshis", "Fees paid so far in the games that are followed.", _one(_fees)),
    Meter(
        "bitvm_notices", "Notices that last, by kind and severity; all kinds are there.", _notices, ("kind", "severity")
    ),
)
RUN_SECONDS = "bitvm_run_seconds"
METRIC_NAMES = (*(meter.name for meter in METERS), RUN_SECONDS)
"""All names, as they are scraped; the histogram's samples end in _bucket, _count and _sum."""


def _runs(seconds: Sequence[float]) -> Metric:
    """Return the histogram of all runs."""
    counts = Counter(bisect_left(RUN_BUCKETS, value) for value in seconds)
    buckets: list[tuple[str, float]] = []
    below = 0
    for index, end in enumerate(RUN_BUCKETS):
        below += counts[index]
        buckets.append((f"{end:.1f}", below))
    buckets.append(("+Inf", len(seconds)))
    return HistogramMetricFamily(
        RUN_SECONDS, "How long the re-executions since the start took.", buckets=buckets, sum_value=sum(seconds)
    )


class _SnapshotCollector(Collector):
    """Makes the metrics of a snapshot when they are collected."""

    def __init__(self) -> None:
        """Begin without a snapshot, that is, without metrics."""
        self.snapshot: Snapshot | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        if self.snapshot is not None:
            for meter in METERS:
                yield meter.read(self.snapshot)
            yield _runs(self.snapshot.runs)


class Telemetry:
    """The metrics of one daemon, in a registry of its own."""

    def __init__(self) -> None:
        """Begin without metrics."""
        self._collector = _SnapshotCollector()
        self.registry = CollectorRegistry()
        self.registry.register(self._collector)

    def update(self, snapshot: Snapshot) -> None:
        """Show this snapshot from now on."""
        self._collector.snapshot = snapshot

    def render(self) -> bytes:
        """Return the metrics as Prometheus scrapes them, in the format `CONTENT_TYPE`."""
        return generate_latest(self.registry)
