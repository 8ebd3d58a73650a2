"""Figures for monitoring, in the text format that Prometheus reads.

Source: Prometheus, "Exposition formats", text-based format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(slots=True, kw_only=True)
class Gauge:
    """One figure in all its cases. `name` ends with its unit; money is minor units of the label `currency`."""

    name: str
    says: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        self.samples.append((labels, value))


def exposition(gauges: Iterable[Gauge]) -> str:
    """The text of a scrape or a textfile, without timestamps; a gauge without samples is left out."""
    return "".join(f"{line}\n" for gauge in gauges if gauge.samples for line in _lines(gauge))


def _lines(gauge: Gauge) -> Iterator[str]:
    yield f"# HELP {gauge.name} {gauge.says}"
    yield f"# TYPE {gauge.name} gauge"
    for labels, value in gauge.samples:
        told = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        yield f"{gauge.name}{{{told}}} {value:.15g}"
