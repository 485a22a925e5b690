from rlaif.critic.verdict import TIE, Failure, FailureReason
from rlaif.serve.metrics import Metrics


def values(metrics):
    lines = metrics.text().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_what_is_counted():
    metrics = Metrics()
    metrics.request("/v1/score", 200, 0.2)
    metrics.request("/v1/score", 429, 0.1)
    metrics.batch(8, 3)
    metrics.verdict("c", TIE)
    metrics.verdict("c", Failure(FailureReason.REFUSED))
    said = values(metrics)
    assert said['rlaif_requests_total{path="/v1/score",status="429"}'] == 1
    assert said['rlaif_request_seconds_count{path="/v1/score"}'] == 2
    assert (said["rlaif_questions_asked_total"], said["rlaif_questions_stored_total"]) == (3, 5)
    assert said['rlaif_verdicts_total{constitution="c"}'] == 1
    assert said['rlaif_failures_total{constitution="c",reason="refused"}'] == 1


def test_two_servers_count_apart():
    first, second = Metrics(), Metrics()
    first.batch(1, 1)
    assert values(second)["rlaif_questions_asked_total"] == 0
