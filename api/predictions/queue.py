"""A bounded queue before the model: cases that arrive together share one forward pass; a full one tells its callers.

One thread a model runs the passes. While it runs one, what arrives gathers for the next: under load batches form by
themselves, and a single caller never waits for company.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from api.problems import TooBusy
from clinical_mm.case import Case

if TYPE_CHECKING:
    from clinical_mm.answers import Prediction
    from clinical_mm.predictor import Predictor

RETRY_AFTER_S = 2


class BatchingQueue:
    """The queue of one model."""

    def __init__(self, predictor: Predictor, max_batch: int, max_queue: int) -> None:
        self._predictor = predictor
        self._max_batch, self._max_queue = max_batch, max_queue
        self._waiting: deque[tuple[Case, Future[Prediction]]] = deque()
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
        answer: Future[Prediction] = Future()
        with self._arrived:
            if self._closed or len(self._waiting) >= self._max_queue:
                raise TooBusy("too many predictions wait already; try again shortly", retry_after_s=RETRY_AFTER_S)
            self._waiting.append((case, answer))
            self._arrived.notify()
        return answer.result()

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
            self._run(batch)

    def _run(self, batch: list[tuple[Case, Future[Prediction]]]) -> None:
        try:
            answers = self._predictor.predict([case for case, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is goes to whoever asked; this thread must live on
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for single in batch:  # one case spoils the batch: find whose it is
                self._run([single])
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            waiting.set_result(answer)
