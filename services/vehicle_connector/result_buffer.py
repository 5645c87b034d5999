"""The results of one attempt that the command service has not acknowledged yet."""

from collections import deque
from collections.abc import Iterator

from sovd_protos.connector.v1.connector_pb2 import Result


class ResultBuffer:
    """Numbers results in order and keeps each until it is acknowledged; nothing is ever dropped to make room.

    Its bound is the credit the vehicle gets: not more than a window ahead of what is acknowledged.
    """

    __slots__ = ("_results", "next_number")

    def __init__(self, next_number: int = 1) -> None:
        self._results: deque[Result] = deque()
        self.next_number = next_number

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def acknowledged(self) -> int:
        """All results up to this number are recorded."""
        return self.next_number - 1 - len(self._results)

    def add(self, result: Result) -> None:
        result.number = self.next_number
        self.next_number += 1
        self._results.append(result)

    def acknowledge(self, number: int) -> int:
        """Lets go of all results up to `number`; returns how many those were."""
        results = self._results
        before = len(results)
        while results and results[0].number <= number:
            results.popleft()
        return before - len(results)

    def skip_to(self, next_number: int) -> int:
        """The service will record `next_number` next; like acknowledge, also for results this connector never saw."""
        freed = self.acknowledge(next_number - 1)
        self.next_number = max(self.next_number, next_number)
        return freed
