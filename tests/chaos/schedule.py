"""Who is killed when: a seeded schedule over the progress of the work, so that every kill meets work under way."""

from __future__ import annotations

import random
from dataclasses import dataclass

_FIRST, _LAST = 0.02, 0.92
_LONGEST_WAIT = 0.4
_LONGEST_ABSENCE = 1.5


@dataclass(frozen=True)
class Kill:
    """A kill -9, or several at once.

    Attributes:
        progress: the part of the work that is done when it is due.
        wait: how long it waits beyond that, seconds.
        servers: numbers of the servers that it meets.
        runtimes: numbers of the runtimes that it meets.
        absence: how long what is killed stays away, seconds.
    """

    progress: float
    wait: float
    servers: tuple[int, ...]
    runtimes: tuple[int, ...]
    absence: float


def make_schedule(seed: int, *, servers: int, runtimes: int, server_kills: int, runtime_kills: int) -> list[Kill]:
    """Spread kills over the work.

    Args:
        seed: decides on all.
        servers: how many servers may be killed, numbered from 0.
        runtimes: how many runtimes there are.
        server_kills: how many kills meet a server; every fourth meets a runtime, too.
        runtime_kills: how many kills meet a runtime only; every eighth meets all of them at once.
    """
    chance = random.Random(f"kills {seed}")  # noqa: S311 - to be repeatable is the point
    victims: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for number in range(server_kills):
        beside = (chance.randrange(runtimes),) if number % 4 == 3 else ()
        # Of several servers now and then all that may be killed, at once.
        together = servers > 1 and number % 5 == 4
        victims.append((tuple(range(servers)) if together else (chance.randrange(servers),), beside))
    victims += [
        ((), tuple(range(runtimes)) if number % 8 == 7 else (chance.randrange(runtimes),))
        for number in range(runtime_kills)
    ]
    chance.shuffle(victims)
    step = (_LAST - _FIRST) / max(len(victims), 1)
    return [
        Kill(
            progress=_FIRST + (number + chance.random()) * step,
            wait=chance.random() * _LONGEST_WAIT,
            servers=of_servers,
            runtimes=of_runtimes,
            absence=chance.random() * _LONGEST_ABSENCE,
        )
        for number, (of_servers, of_runtimes) in enumerate(victims)
    ]
