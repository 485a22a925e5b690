from rlaif.models.config import chunk_size


def test_a_cpu_holds_fewer_logits_at_once_than_any_other_device():
    assert chunk_size("cpu") == 2**24 < chunk_size("cuda") == chunk_size("xpu")
