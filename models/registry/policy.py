"""Read the policy of the gate: one committed TOML file as a frozen record."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from models.common.errors import RegistryError
from models.lineage.records import Ancestor
from models.registry.benchmark import COUNTS, Benchmark, parse_benchmark

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]  # not installed where it is not needed

SCHEMA: Final = "edge-app/policy/1"
_DIGITS: Final = 12
DEFAULT_POLICY: Final = Path(__file__).with_name("policy.toml")


@dataclass(frozen=True, slots=True)
class Margins:
    """Largest allowed losses against production. policy.toml states the unit of each."""

    ap50: float
    slice_ap50: float
    bicycles: float
    counting: float
    class_f1: float
    latency_ratio: float
    size_ratio: float
    int8_loss: float


@dataclass(frozen=True, slots=True)
class Cyclists:
    """What a detector that counts bicycles must call them, shares in 0..1.

    examples: bicycles, and motorcycles that are found, from which the shares mean something.
    called_bicycle: lowest share of bicycles. called_motorcycle: largest share of bicycles.
    motorcycles_called_bicycle: largest share of the motorcycles that are found.
    """

    examples: int
    called_bicycle: float
    called_motorcycle: float
    motorcycles_called_bicycle: float


@dataclass(frozen=True, slots=True)
class DrawnStreet:
    """What a detector must call the vehicles of the rendered street in each light, shares in 0..1.

    named: lowest share of the vehicles that most looks give their class. right: lowest share of the looks that do.
    """

    named: float
    right: float


@dataclass(frozen=True, slots=True)
class Floors:
    """The lowest figures allowed for one input size, each in 0..1.

    ap50: "set/class" -> AP50. counting: a name of models.common.schemas.TOTALS or a class -> score.
    """

    ap50: Mapping[str, float]
    counting: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Policy:
    """All figures of the gate's rules.

    sha256: of the file. licences: SPDX ids that may ship.
    credited: those of them that ask for the maker of every single picture.
    accepted: beginning of the name of a step, or of the hash of its weights, 12 digits and more -> why a person accepts
    what is not known of it.
    examples: labelled boxes from which a class is compared. bicycles: those of a set from which it is compared.
    better: name of a difference -> bound that its whole interval must lie above; one of them must.
    as_good: name of a difference -> how far below 0 the lower end of its interval may lie; all of them must hold.
    slices: kinds of slices that every set must have. counted: classes whose counts are compared.
    floors: input size, "512x288" -> floors. benchmark: what a candidate is measured on.
    cyclists: None when the policy says nothing of them. folds: class -> largest loss of the mean AP50 over folds.
    street: None when the policy says nothing of it.
    """

    sha256: str
    licences: frozenset[str]
    credited: frozenset[str]
    accepted: Mapping[str, str]
    examples: int
    bicycles: int
    better: Mapping[str, float]
    as_good: Mapping[str, float]
    slices: tuple[str, ...]
    counted: tuple[str, ...]
    margins: Margins
    floors: Mapping[str, Floors]
    benchmark: Benchmark
    cyclists: Cyclists | None
    folds: Mapping[str, float]
    street: DrawnStreet | None

    def lacks(self, what: str) -> str:
        """Return why the benchmark has nothing for a rule, one of benchmark.MAY_LACK; empty when it must answer."""
        return self.benchmark.lacks.get(what, "")

    def acceptance(self, ancestor: Ancestor) -> str:
        """Return why a person accepts what is not known of an ancestor; empty when nobody does."""
        names = (ancestor.id, ancestor.step.origin, *(link.weights for link in ancestor.links))
        return next((why for key, why in self.accepted.items() if any(name.startswith(key) for name in names)), "")


def load(path: Path = DEFAULT_POLICY) -> Policy:
    """Return the policy in a file.

    Raises RegistryError: when it cannot be read or anything is missing; half a policy would let every candidate
    through.
    """
    try:
        content = path.read_bytes()
        return _policy(tomllib.loads(content.decode()), hashlib.sha256(content).hexdigest())
    except OSError as error:
        raise RegistryError(f"The policy {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RegistryError(f"The policy {path} is not valid TOML: {error}.") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RegistryError(f"The policy {path} is not one: {type(error).__name__} {error}.") from error


def _policy(data: dict[str, Any], sha256: str) -> Policy:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema is {data['schema']!r}, not {SCHEMA!r}")
    policy = Policy(
        sha256=sha256,
        licences=frozenset(data["licences"]),
        credited=frozenset(data.get("credited", ())),
        accepted={str(key): str(why) for key, why in data.get("accepted", {}).items()},
        examples=int(data["examples"]),
        bicycles=int(data["bicycles"]),
        better={name: float(bound) for name, bound in data["better"].items()},
        as_good={name: float(bound) for name, bound in data["as_good"].items()},
        slices=tuple(data["slices"]),
        counted=tuple(data["counted"]),
        margins=Margins(**{field.name: float(data["margins"][field.name]) for field in fields(Margins)}),
        floors={
            size: Floors(_shares(row["ap50"]), _shares(row.get("counting", {}))) for size, row in data["floors"].items()
        },
        benchmark=parse_benchmark(data.get("benchmark")),
        cyclists=_cyclists(data["cyclists"]) if "cyclists" in data else None,
        folds={str(label): float(margin) for label, margin in data.get("folds", {}).items()},
        street=_street(data["street"]) if "street" in data else None,
    )
    short = [key for key, why in policy.accepted.items() if len(key) < _DIGITS or not why.strip()]
    if short:
        raise ValueError(f"accepted.{short[0]} needs {_DIGITS} digits of a hash and a reason")
    _require_whole(policy)
    return policy


def _require_whole(policy: Policy) -> None:
    """Refuse a policy with a part that is empty. A city's may still lack its floors: then nothing can be promoted.

    Raises ValueError: naming the part.
    """
    may_lack = ("counted", "floors") if policy.benchmark.sets else ()
    wanted = ("licences", "better", "as_good", "counted", "floors")
    empty = [name for name in wanted if not getattr(policy, name) and name not in may_lack]
    tables = (table for one in policy.floors.values() for table in _tables(policy, one))
    if empty or not all(tables):
        raise ValueError(f"{empty[0] if empty else 'a table of floors'} is empty")


def _tables(policy: Policy, floors: Floors) -> tuple[Mapping[str, float], ...]:
    return (floors.ap50,) if policy.lacks(COUNTS) else (floors.ap50, floors.counting)


def _cyclists(row: Mapping[str, Any]) -> Cyclists:
    shares = _shares({name: row[name] for name in Cyclists.__slots__ if name != "examples"})
    return Cyclists(examples=int(row["examples"]), **shares)


def _street(row: Mapping[str, Any]) -> DrawnStreet:
    return DrawnStreet(**_shares({field.name: row[field.name] for field in fields(DrawnStreet)}))


def _shares(row: Mapping[str, Any]) -> dict[str, float]:
    wrong = [name for name, value in row.items() if not 0 < float(value) <= 1]
    if wrong:
        raise ValueError(f"the floor of {wrong[0]} is {row[wrong[0]]}, not in 0..1")
    return {name: float(value) for name, value in row.items()}
