"""An annotation session: from a label run's folder to answers, and what they come to."""

from __future__ import annotations

import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from rlaif.annotate.choose import EACH, tasks
from rlaif.annotate.config import AnnotateConfig
from rlaif.annotate.log import Log, votes, write_gold
from rlaif.annotate.session import Session
from rlaif.data.inputs import refuse_inputs
from rlaif.data.records import OVERALL, PreferenceRecord, beside_overall, read_records
from rlaif.data.run_folder import OUTPUTS, read_run
from rlaif.errors import UsageError
from rlaif.evaluate.annotators import Both, alpha, by_two


class Outcome(NamedTuple):
    """answered: of the session's questions. total: of them. pairs: rows of the gold file, by all annotators. both: every two
    of these. alpha: Krippendorff's, over all; NaN where nobody answered what another did."""

    answered: int
    total: int
    pairs: int
    both: list[Both]
    alpha: float


def open_session(config: AnnotateConfig) -> Session:
    """Raises UsageError where the run has not finished, has nothing to ask, or ``--out`` is something else's."""
    run = read_run(config.run)
    refuse_inputs([config.run / name for name in OUTPUTS], files=[config.log, config.gold])
    if not config.annotator.strip():
        raise UsageError("--annotator: a name is needed, so that each has answers of their own")
    path = config.run / "preferences.jsonl"
    asked, pairs = tasks(lambda: read_records(path, PreferenceRecord), config.by, config.choose, config.limit, config.seed)
    principles = run.get("constitution", {}).get("principles", [])
    wordings = {beside_overall(principle["id"]): principle["text"] for principle in principles}
    if not pairs:
        known = ", ".join([OVERALL, EACH, *wordings])
        raise UsageError(f"--by {config.by}: {config.run} has no pair to ask that about; expected {known}")
    return Session(asked, Log(config.log), config.annotator, config.choose, config.seed, wordings)


def conclude(config: AnnotateConfig, session: Session) -> Outcome:
    """Write the gold file from all answers of the log."""
    standing = session.log.standing()
    cast = votes(standing.items())
    pairs = write_gold(standing, config.gold)
    found = alpha(by_annotator.values() for by_annotator in cast.values())
    return Outcome(len(session.answered), len(session.tasks), pairs, by_two(cast.values()), found)


def serve(config: AnnotateConfig, session: Session, started: Callable[[str], None]) -> None:
    """Show the page until Ctrl-C or SIGTERM. started: called with its address. Raises UsageError where the port is taken."""
    import uvicorn

    from rlaif.annotate.app import make_app

    token = secrets.token_urlsafe(24)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", config.port))
        except OSError as error:
            raise UsageError(f"--port {config.port}: cannot be listened on ({error.strerror}); give another") from None
        port = listening.getsockname()[1]
        settings = uvicorn.Config(
            make_app(session, port, token), log_level="error", access_log=False, server_header=False, ws="none", lifespan="off"
        )
        server = uvicorn.Server(settings)
        listening.listen(64)  # who opens the address at once is answered as soon as the server is up
        started(f"http://127.0.0.1:{port}/#token={token}")
        before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises the signal again when it has ended
        try:
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
        finally:
            signal.signal(signal.SIGTERM, before)
