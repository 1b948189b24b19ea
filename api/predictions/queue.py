"""A bounded queue before the model: cases that arrive together share one forward pass; a full one tells its callers.

One thread a model runs the passes. While it runs one, what arrives gathers for the next: under load batches form by
themselves, and a single caller never waits for company.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.ground import tracing
from api.ground.meters import Meters
from api.problems import TooBusy
from clinical_mm.case import Case

if TYPE_CHECKING:
    from clinical_mm.answers import Prediction
    from clinical_mm.predictor import Predictor

RETRY_AFTER_S = 2


@dataclass
class _Waiting:
    """A case, who waits for its answer, and when it came, went into a pass, and came out (``perf_counter``)."""

    case: Case
    answer: Future[Prediction] = field(default_factory=Future)
    came: float = field(default_factory=time.perf_counter)
    begun: float = 0.0
    ended: float = 0.0
    batch: int = 0


class BatchingQueue:
    """The queue of one model."""

    def __init__(self, predictor: Predictor, max_batch: int, max_queue: int, meters: Meters | None = None) -> None:
        """``meters``: what counts; None = nobody asks."""
        self._predictor = predictor
        self._max_batch, self._max_queue = max_batch, max_queue
        self._meters = meters or Meters()
        self._waiting: deque[_Waiting] = deque()
        self._arrived = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def predict(self, case: Case) -> Prediction:
        """The model's answer for one case.

        Raises:
            TooBusy: as many cases wait already as may.
            InvalidCase, UnreadableFile: of this case alone; others of its batch are answered.
        """
        waiting = _Waiting(case)
        with self._arrived:
            if self._closed or len(self._waiting) >= self._max_queue:
                self._meters.queue_full.inc()
                raise TooBusy("too many predictions wait already; try again shortly", retry_after_s=RETRY_AFTER_S)
            self._waiting.append(waiting)
            self._meters.queue_depth.inc()
            self._arrived.notify()
        try:
            return waiting.answer.result()
        finally:
            tracing.tell("prediction.queue", waiting.came, waiting.begun)
            tracing.tell("prediction.forward", waiting.begun, waiting.ended, cases=waiting.batch)

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        with self._arrived:
            self._closed = True
            self._arrived.notify()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while True:
            with self._arrived:
                while not self._waiting and not self._closed:
                    self._arrived.wait()
                if not self._waiting:
                    return
                count = min(len(self._waiting), self._max_batch)
                batch = [self._waiting.popleft() for _ in range(count)]
            self._meters.queue_depth.dec(count)
            begun = time.perf_counter()
            for one in batch:
                one.begun = begun
                self._meters.waited.observe(begun - one.came)
            self._run(batch)

    def _run(self, batch: list[_Waiting]) -> None:
        try:
            answers = self._forward(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is goes to whoever asked; this thread must live on
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for single in batch:  # one case spoils the batch: find whose it is
                self._run([single])
            return
        for one, answer in zip(batch, answers, strict=True):
            one.answer.set_result(answer)

    def _forward(self, batch: list[_Waiting]) -> list[Prediction]:
        begun = time.perf_counter()
        try:
            return self._predictor.predict([one.case for one in batch])
        finally:
            ended = time.perf_counter()
            for one in batch:
                one.ended, one.batch = ended, len(batch)
            self._meters.batch.observe(len(batch))
            self._meters.forward.observe(ended - begun)
