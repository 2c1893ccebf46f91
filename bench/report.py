"""The shape every bench prints: figures with their targets, peers with their ratios."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number; `at_most` says on which side of its target it should be."""

    id: str
    what: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True

    def as_json(self) -> dict[str, Any]:
        """Give the contract's form: id, what, value, unit, target, holds."""
        row = asdict(self)
        del row["at_most"]
        if self.target is None:
            row["holds"] = None
        else:
            row["holds"] = self.value <= self.target if self.at_most else self.value >= self.target
        return row


@dataclass(frozen=True, slots=True)
class Peer:
    """What stood beside us in the same run; ratio is ours to theirs."""

    what: str
    value: float
    unit: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Report:
    """One bench's result."""

    bench: str
    figures: Sequence[Figure]
    n: int
    sink: str
    peers: Sequence[Peer] = ()
    samples: dict[str, list[float]] = field(default_factory=dict)

    def show(self) -> None:
        """Print for people, or as one line of JSON when `--json` was given."""
        if "--json" in sys.argv[1:]:
            print(json.dumps(self._as_json()))
            return
        for row in (figure.as_json() for figure in self.figures):
            target = "" if row["target"] is None else f"   target {row['target']}"
            missed = "" if row["holds"] in (True, None) else "   MISSED"
            print(f"{row['id']:<32} {row['value']:>12} {row['unit']:<10}{target}{missed}")
        for peer in self.peers:
            print(f"  peer {peer.what}: {peer.value} {peer.unit}, ratio {peer.ratio}")

    def _as_json(self) -> dict[str, Any]:
        return {
            "bench": self.bench,
            "figures": [figure.as_json() for figure in self.figures],
            "peers": [asdict(peer) for peer in self.peers],
            "n": self.n,
            "sink": self.sink,
            "samples": self.samples,
        }
