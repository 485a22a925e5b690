"""TensorBoard's files, read by its own reader."""

from pathlib import Path


def events(run: Path) -> dict[str, dict[int, float]]:
    """What a run's folder holds: by name, the value of each step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"))
    found.Reload()
    return {name: {event.step: event.value for event in found.Scalars(name)} for name in found.Tags()["scalars"]}
