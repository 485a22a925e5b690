import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from rlaif import loops


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def failing() -> None:
    raise ValueError("no")


def test_run_gives_the_result_with_and_without_a_running_loop():
    async def notebook() -> int:
        return loops.run(doubled(4))

    assert loops.run(doubled(3)) == 6
    assert asyncio.run(notebook()) == 8


def test_errors_arrive_where_the_work_was_given():
    async def notebook() -> None:
        loops.run(failing())

    for call in (lambda: loops.run(failing()), lambda: asyncio.run(notebook())):
        with pytest.raises(ValueError, match="no"):
            call()


def test_a_background_loop_serves_many_threads_and_loops_at_once():
    background = loops.BackgroundLoop()
    together = threading.Barrier(4)

    async def meeting(number: int) -> int:  # ends only where all four are under way at the same time
        await asyncio.to_thread(together.wait, 30)
        return await doubled(number)

    results: dict[int, int] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: background.run(meeting(n))})) for n in range(3)]
    for thread in threads:
        thread.start()
    results[3] = asyncio.run(background.arun(meeting(3)))
    for thread in threads:
        thread.join()
    background.close()
    assert results == {0: 0, 1: 2, 2: 4, 3: 6}


def test_closing_cancels_what_is_under_way_and_ends_the_thread():
    background = loops.BackgroundLoop()
    started, ended = threading.Event(), threading.Event()

    async def endless() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    def wait() -> None:
        with pytest.raises(CancelledError):
            background.run(endless())

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert started.wait(30)
    background.close()
    waiting.join(30)
    assert ended.is_set() and not waiting.is_alive()
    background.close()  # once more is no error


def test_an_interrupt_cancels_the_work_and_waits_for_its_end(monkeypatch):
    background = loops.BackgroundLoop()
    ended = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    submit = background._submit

    def interrupted(work):
        future = submit(work)
        if work.__name__ == "endless":
            submit(doubled(1)).result()  # it is under way
            monkeypatch.setattr(future, "result", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        return future

    monkeypatch.setattr(background, "_submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        background.run(endless())
    assert ended == [True]
    background.close()
