"""The faults of a server and of the way to it."""

from __future__ import annotations

import anyio

from tests.faults._scene import Fault, ServerScene

CUTS = 5


async def restart(scene: ServerScene) -> None:
    await scene.server.restart()


async def kill(scene: ServerScene) -> None:
    scene.server.kill()
    await anyio.sleep(0.5)
    await scene.server.start()


async def pause(scene: ServerScene) -> None:
    scene.server.pause()
    await anyio.sleep(4)
    scene.server.resume()


async def delay(scene: ServerScene) -> None:
    for proxy in (scene.front, scene.back):
        proxy.slow(latency=0.05)
    await anyio.sleep(4)
    _heal(scene)


async def throttle(scene: ServerScene) -> None:
    for proxy in (scene.front, scene.back):
        proxy.slow(rate=50_000)
    await anyio.sleep(6)
    _heal(scene)


async def cut(scene: ServerScene) -> None:
    for _ in range(CUTS):
        scene.front.cut()
        scene.back.cut()
        await anyio.sleep(0.5)


async def refuse(scene: ServerScene) -> None:
    for proxy in (scene.front, scene.back):
        proxy.cut(refuse=True)
    await anyio.sleep(5)
    _heal(scene)


async def stall(scene: ServerScene) -> None:
    for proxy in (scene.front, scene.back):
        proxy.stall()
    await anyio.sleep(5)
    _heal(scene)


async def lose_listener(scene: ServerScene) -> None:
    scene.back.half_open()


async def lose_listener_one_way(scene: ServerScene) -> None:
    scene.back.half_open("down")


async def lose_listener_for_a_while(scene: ServerScene) -> None:
    scene.back.half_open(new="hang")
    await anyio.sleep(30)
    _heal(scene)


async def lose_emitter(scene: ServerScene) -> None:
    scene.front.half_open()


async def lose_emitter_one_way(scene: ServerScene) -> None:
    scene.front.half_open("up")


def _heal(scene: ServerScene) -> None:
    scene.front.heal()
    scene.back.heal()


NOTICED = 30.0
"""Seconds until a connection that is half-open is given up, and a new one made."""

FAULTS = [
    Fault("server restarted", restart, 10, again=1, doubles=True),
    # What it had acknowledged last may not be on its disk.
    Fault("server killed and started", kill, 10, again=2, doubles=True),
    Fault("server paused for 4 s", pause, 5, lasts=4, ack_wait=30),
    Fault("50 ms later both ways", delay, 5, lasts=4, ack_wait=30),
    Fault("50 kB/s both ways", throttle, 5, lasts=6, ack_wait=30),
    Fault(f"connections reset {CUTS} times", cut, 5, again=CUTS, doubles=True, lasts=2),
    Fault("connections refused for 5 s", refuse, 10, again=1, doubles=True, lasts=5),
    Fault("parted for 5 s, nothing lost", stall, 5, lasts=5, ack_wait=30),
    Fault("listener half-open", lose_listener, NOTICED, again=1, lasts=10),
    Fault("listener hears nothing", lose_listener_one_way, NOTICED, again=1, lasts=10),
    Fault("listener half-open, then 30 s away", lose_listener_for_a_while, 10, again=1, lasts=10),
    Fault("emitter half-open", lose_emitter, NOTICED, doubles=True, lasts=10),
    Fault("emitter not heard", lose_emitter_one_way, NOTICED, doubles=True, lasts=10),
]
