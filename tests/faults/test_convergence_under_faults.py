"""Whatever users do while whatever goes wrong: once the faults are over, the rows say what S3 serves."""

from __future__ import annotations

from random import Random

from faults.injector import REFUSALS, Fault, Injector
from faults.world import World, picture
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

OPERATIONS = ("GetItem", "GetObject", "PutObject", "PutItem", "DeleteItem", "DeleteObject", "HeadObject")
PASSING = (*REFUSALS["s3"], "reset", "truncated", "lost")


def operate(world: World, key: str, chance: Random) -> None:
    """One thing that a user of the bucket does, or a queue that delivers twice."""
    versions = world.versions(key)
    action = chance.choice(["put", "put", "spoil", "delete", "duplicate", *["take back"] * 2 * bool(versions)])
    if action in ("put", "spoil"):
        world.put(key, b"no picture" if action == "spoil" else picture(chance.randint(1, 200)))
    elif action == "delete":
        world.delete(key)
    elif action == "duplicate":
        world.send(key)
    else:
        world.delete(key, chance.choice(versions))


# Drawn evenly from a seed, for Hypothesis' own choices favour the shortest histories, in which nothing meets.
@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_any_history_with_any_faults_ends_in_what_s3_serves(world: World, injector: Injector, seed: int) -> None:
    chance, key = Random(seed), world.fresh_key()
    for _ in range(chance.randint(2, 5)):
        injector.clear()
        injector.faults = [Fault(chance.choice(OPERATIONS), chance.choice(PASSING), chance.choice([1, 2, 3, 7]))]
        meanwhile = chance.randint(1, 12)

        def interfere(number: int, meanwhile: int = meanwhile) -> None:
            if number == meanwhile:  # the user does not wait for the worker
                operate(world, key, chance)

        injector.before = interfere
        operate(world, key, chance)
        for _ in range(chance.randint(0, 3)):
            world.step()
    injector.clear()
    world.send(key)
    world.drain()
    world.dead_letters(keep=True)
    world.redrive()
    world.send(key)
    world.drain()
    world.assert_whole(key)
