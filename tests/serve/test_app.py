import asyncio

import pytest

from rlaif.serve import forms

EGG = {"prompt": "q", "a": "good", "b": "bad"}


def ask(served, *requests, **more):
    """The answers to (path, body), asked one after another."""

    async def all_of_them():
        async with served.client(**more) as client:
            return [await client.post(path, json=body) for path, body in requests]

    return asyncio.run(all_of_them())


def test_a_comparison_says_what_each_principle_does_and_in_both_orders(serve):
    served = serve()
    (answer,) = ask(served, ("/v1/compare", EGG))
    said = answer.json()
    assert answer.status_code == 200 and said["p"] == pytest.approx((0.9 + 0.8) / 2)
    assert said["principles"]["kind"]["gap"] == pytest.approx(0.9 - 0.8)
    assert said["constitution"]["name"] == "t" and sum(map(len, served.engine.batches)) == 4


def test_a_failed_verdict_is_null_with_its_reason(serve):
    half, mumble = ask(serve(), ("/v1/compare", {**EGG, "b": "half"}), ("/v1/score", {"prompt": "q", "response": "mumble"}))
    assert half.json()["p"] is not None
    assert half.json()["principles"]["short"] == {"reason": "refused", "detail": "ab: said nothing; ba: said nothing"}
    assert mumble.status_code == 200 and mumble.json()["score"] is None
    assert {said["reason"] for said in mumble.json()["principles"].values()} == {"refused"}


def test_a_ranking_leaves_out_what_has_no_verdict(serve):
    (answer,) = ask(serve(), ("/v1/rank", {"prompt": "q", "responses": ["bad", "mumble", "good"]}))
    said = answer.json()
    assert said["order"] == [2, 0] and said["values"][1] is None
    assert [pair["places"] for pair in said["pairs"]] == [[0, 1], [0, 2], [1, 2]]


def test_the_same_question_is_asked_once_of_all_clients(serve):
    served = serve()
    first, again = ask(served, ("/v1/compare", EGG), ("/v1/compare", EGG))
    assert first.json() == again.json() and sum(map(len, served.engine.batches)) == 4


def test_messages_are_judged_as_texts_are(serve):
    turns = [{"role": "user", "content": "q"}]
    text, messages = ask(serve(), ("/v1/compare", EGG), ("/v1/compare", {**EGG, "prompt": turns}))
    assert text.json() == messages.json()


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/compare", {"prompt": "q", "a": "x"}, 422, "body.b"),
        ("/v1/compare", {**EGG, "promt": "q"}, 422, "body.promt"),
        ("/v1/compare", {**EGG, "constitution": "other"}, 404, "there are: t"),
        ("/v1/compare", {**EGG, "prompt": []}, 422, "body.prompt"),
        (
            "/v1/compare",
            {**EGG, "a": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
            422,
            "begins with a user",
        ),
        ("/v1/compare", {**EGG, "a": "gone"}, 503, "no server answers"),
        ("/v1/rank", {"prompt": "q", "responses": ["x"]}, 422, "at least 2"),
        ("/v1/rank", {"prompt": "q", "responses": [""] * 1000}, 413, "1,998,000 questions"),
        ("/v1/reward", {"query": []}, 422, "at least 1"),
        ("/v1/reward", {"other": 1}, 422, "body"),
        ("/v1/nothing", {}, 404, "Not Found"),
    ],
)
def test_what_cannot_be_judged_is_said(serve, path, body, status, words):
    (answer,) = ask(serve(), (path, body))
    assert answer.status_code == status and words in answer.json()["detail"]
    assert ("retry-after" in answer.headers) == (status == 503)


def test_what_is_no_json_is_said(serve):
    served = serve()

    async def send(content):
        async with served.client() as client:
            return await client.post("/v1/compare", content=content, headers={"Content-Type": "application/json"})

    for content in (b"{", b"\xff", b"[" * 100_000, b'{"prompt": "\\ud800", "a": "x", "b": "y"}', b"", b"null", b"NaN"):
        assert asyncio.run(send(content)).status_code in (400, 422), content[:20]


def test_a_full_queue_says_when_to_come_back(serve):
    served = serve(queue=4)

    async def crowd():
        served.engine.gate.clear()
        async with served.client() as client:
            each = [asyncio.create_task(client.post("/v1/compare", json={**EGG, "prompt": f"q{n}"})) for n in range(6)]
            while not served.engine.batches or sum(task.done() for task in each) < 3:
                await asyncio.sleep(0)
            served.engine.gate.set()
            return await asyncio.gather(*each)

    answers = asyncio.run(crowd())
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 0 < len(refused) < 6 and {answer.status_code for answer in answers} == {200, 429}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)


def test_a_server_that_ends_is_not_ready(serve):
    served = serve()

    async def get(path):
        async with served.client() as client:
            return await client.get(path)

    assert asyncio.run(get("/ready")).status_code == asyncio.run(get("/health")).status_code == 200
    served.state.draining = True
    assert asyncio.run(get("/ready")).status_code == 503 and asyncio.run(get("/health")).status_code == 200


def test_constitutions_are_listed(serve, tmp_path):
    (tmp_path / "u.yaml").write_text("{name: u, version: 1, principles: [{id: brief, text: Brief.}]}")
    served = serve(also=[tmp_path / "u.yaml"])

    async def get():
        async with served.client() as client:
            return (await client.get("/v1/constitutions")).json()

    assert [(each["name"], each["principles"]) for each in asyncio.run(get())] == [("t", ["kind", "short"]), ("u", ["brief"])]
    (answer,) = ask(served, ("/v1/compare", {**EGG, "constitution": "u"}))
    assert list(answer.json()["principles"]) == ["brief"]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/compare", forms.CompareRequest),
        ("/v1/score", forms.ScoreRequest),
        ("/v1/rank", forms.RankRequest),
        ("/v1/reward", forms.OpenRlhfRequest),
    ],
)
def test_the_examples_of_the_openapi_page_work(serve, path, form):
    for example in form.model_config["json_schema_extra"]["examples"]:
        (answer,) = ask(serve(), (path, example))
        assert answer.status_code == 200, answer.text


def test_schemathesis_finds_no_answer_that_the_openapi_page_does_not_promise(serve):
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    served = serve(response_start="\n")
    schema = schemathesis.openapi.from_asgi("/openapi.json", served.app)
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/v1/compare", "/v1/score", "/v1/rank", "/v1/reward", "/metrics"}
    for operation in operations:

        @settings(
            max_examples=15,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def fuzz(case):
            case.call_and_validate(excluded_checks=[positive_data_acceptance])  # a schema cannot say what a conversation is

        fuzz()
