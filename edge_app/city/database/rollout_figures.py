"""Read how far roll-outs are: their devices by group and state, and those of most interest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, get_args

from sqlalchemy import Connection, Row, case, func, select

from edge_app.city.database.engine import among
from edge_app.city.database.tables import ROLLOUT, ROLLOUT_DEVICE, ROLLOUT_EVENT
from edge_app.rollout.leading import RULE, RolloutState
from edge_app.rollout.members import OUT, Kind


def tally_groups(connection: Connection, rollouts: Sequence[int]) -> Mapping[int, Mapping[int, Counter[str]]]:
    """Return roll-out -> number of its group, from 0 -> devices by state. rollouts: their ids."""
    columns = ROLLOUT_DEVICE.c.rollout_id, ROLLOUT_DEVICE.c.group_no, ROLLOUT_DEVICE.c.state
    statement = select(*columns, func.count()).where(among(connection, columns[0], rollouts)).group_by(*columns)
    found: dict[int, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for rollout, group, state, many in connection.execute(statement.order_by(*columns)).all():
        found[rollout][group][state] = many
    return found


def tally_rollouts(connection: Connection) -> Mapping[tuple[str, str], int]:
    """Return how many roll-outs there are by kind and state, with 0 where there is none."""
    tallies: dict[tuple[str, str], int] = dict.fromkeys(product(get_args(Kind), get_args(RolloutState)), 0)
    columns = ROLLOUT.c.kind, ROLLOUT.c.state
    for kind, state, many in connection.execute(select(*columns, func.count()).group_by(*columns)):
        tallies[kind, state] = many
    return tallies


def count_stops(connection: Connection) -> int:
    """Return how many roll-outs the rule has stopped so far."""
    stopped = ROLLOUT_EVENT.c.what == "stopped", ROLLOUT_EVENT.c.who == RULE
    return connection.execute(select(func.count()).select_from(ROLLOUT_EVENT).where(*stopped)).scalar_one()


def count_asking(connection: Connection) -> int:
    """Return how many roll-outs the rule has paused, so that a person decides."""
    paused = ROLLOUT.c.state == "paused", ROLLOUT.c.who == RULE
    return connection.execute(select(func.count()).select_from(ROLLOUT).where(*paused)).scalar_one()


def count_stuck(connection: Connection, rollouts: Sequence[int]) -> int:
    """Return at how many devices of some roll-outs a person must look."""
    stuck = select(func.count()).select_from(ROLLOUT_DEVICE).where(ROLLOUT_DEVICE.c.state == "stuck")
    return connection.execute(stuck.where(among(connection, ROLLOUT_DEVICE.c.rollout_id, rollouts))).scalar_one()


def foremost_members(connection: Connection, rollout: int, group: int, most: int) -> Sequence[Row[Any]]:
    """Return devices of a roll-out: those that got out of it or are gone first, then those of a group, then others."""
    columns = ROLLOUT_DEVICE.c
    trouble = case((columns.state.in_(OUT), 0), (columns.state == "gone", 1), (columns.group_no == group, 2), else_=3)
    statement = select(ROLLOUT_DEVICE).where(columns.rollout_id == rollout)
    order = trouble, columns.group_no, columns.topic_site, columns.device
    return connection.execute(statement.order_by(*order).limit(most)).all()


def newest_events(connection: Connection, rollout: int, most: int) -> Sequence[Row[Any]]:
    """Return the history of a roll-out, newest first."""
    statement = select(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.rollout_id == rollout)
    return connection.execute(statement.order_by(ROLLOUT_EVENT.c.id.desc()).limit(most)).all()
