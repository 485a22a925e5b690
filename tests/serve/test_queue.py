import asyncio

import pytest

from rlaif.api.judging import compared, row_of
from rlaif.critic.jury import Jury
from rlaif.errors import RunFailed
from rlaif.serve.queue import BATCH_QUESTIONS, QueueFull


def rows(*texts):
    return [row_of(1, "q" if not isinstance(text, tuple) else text[0], [str(text), "bad"]) for text in texts]


def jury_of(served, mode="compare"):
    return served.constitutions.named(None).jury(mode)


async def until(holds):
    """Let the event loop turn until ``holds()``."""
    while not holds():
        await asyncio.sleep(0)


def waiting(served):
    return served.counted()["rlaif_queue_questions"]


async def busy(served, calls=2):
    """The engine is held up by so many calls of its own."""
    served.engine.gate.clear()
    tasks = []
    for n in range(calls):
        tasks.append(asyncio.create_task(compared(jury_of(served), rows(f"run {n}"))))
        await until(lambda: len(served.engine.batches) == len(tasks))
    return tasks


def run(served, work):
    async def whole():
        try:
            return await asyncio.wait_for(work(), 60)
        finally:
            await served.constitutions.queue.close()

    return asyncio.run(whole())


def test_the_queue_answers_as_the_jury_alone_does(serve):
    served = serve()
    texts = ["good", "half", "mumble", "same"]

    async def both():
        queued = await asyncio.gather(*(compared(jury_of(served), rows(text)) for text in texts))
        alone = await compared(Jury(jury_of(served).critics), rows(*texts))
        return [each for (each,) in queued], alone

    queued, alone = run(served, both)
    assert queued == alone


def test_what_comes_while_the_engine_is_busy_is_one_batch_and_prompts_stand_together(serve):
    served = serve()

    async def crowd():
        first = await busy(served)
        more = [asyncio.create_task(compared(jury_of(served), rows((f"prompt {n % 3}", n)))) for n in range(30)]
        await until(lambda: waiting(served) == 30 * 4)
        served.engine.gate.set()
        return await asyncio.gather(*first, *more)

    assert len(run(served, crowd)) == 32
    batches = served.engine.batches
    assert [len(batch) for batch in batches] == [4, 4, 30 * 4]
    prompts = [text.partition("prompt ")[2][:1] for text in max(batches, key=len)]
    assert len([n for n, prompt in enumerate(prompts) if n and prompt != prompts[n - 1]]) <= 3


def test_a_batch_has_its_bound_and_modes_do_not_mix(serve):
    served = serve()

    async def crowd():
        from rlaif.api.judging import scored

        work = [compared(jury_of(served), rows(f"one {n}")) for n in range(300)]
        work += [scored(jury_of(served, "score"), [row_of(1, "q", [f"s {n}"])]) for n in range(20)]
        return await asyncio.gather(*work)

    assert len(run(served, crowd)) == 320
    assert max(map(len, served.engine.batches)) <= BATCH_QUESTIONS
    for batch in served.engine.batches:
        assert len({"<response_a>" in text for text in batch}) == 1


def test_one_requests_trouble_is_not_anothers(serve):
    served = serve()

    async def crowd():
        texts = ["good", "boom", "fine", "gone"]
        return await asyncio.gather(*(compared(jury_of(served), rows(text)) for text in texts), return_exceptions=True)

    good, boom, fine, gone = run(served, crowd)
    assert isinstance(boom, ValueError) and isinstance(gone, RunFailed)
    assert good[0].p > 0.5 and fine[0].p == 0.5


def test_a_full_queue_refuses_and_takes_again(serve):
    served = serve(queue=8)

    async def crowd():
        running = await busy(served)
        more = [asyncio.create_task(compared(jury_of(served), rows(f"wait {n}"))) for n in range(2)]
        await until(lambda: waiting(served) == 8)
        with pytest.raises(QueueFull) as full:
            await compared(jury_of(served), rows("too many"))
        assert 1 <= full.value.wait <= 60
        served.engine.gate.set()
        await asyncio.gather(*running, *more)
        return await compared(jury_of(served), rows("now"))

    assert run(served, crowd)[0].p == 0.5


def test_who_has_gone_is_not_asked_for(serve):
    served = serve()

    async def leave():
        stay = await busy(served)
        gone = asyncio.create_task(compared(jury_of(served), rows("left early")))
        await until(lambda: waiting(served) == 4)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        served.engine.gate.set()
        await asyncio.gather(*stay)
        return await compared(jury_of(served), rows("after"))

    run(served, leave)
    assert not [text for batch in served.engine.batches for text in batch if "left early" in text]
    assert served.counted()["rlaif_queue_questions"] == 0
