from rlaif.progress import Progress


def test_nobody_needs_to_listen():
    silent = Progress()
    silent.stage("label", None, 0)
    silent.update(3, {"failed": 1})


def test_within_names_the_stages_and_passes_the_figures_on():
    told = []
    progress = Progress(lambda *stage: told.append(stage), lambda *update: told.append(update))
    inner = progress.within("2/3").within("dpo")
    inner.stage("train", 10, 4)
    inner.update(5, {"loss": 0.5})
    assert told == [("2/3 dpo train", 10, 4), (5, {"loss": 0.5})]
