"""What an engine is: it maps one function over many items in parallel."""

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Self = TypeVar("Self", bound="Engine")


class Engine(abc.ABC):
    """Calls functions in parallel, from its construction to the end of its `with` block.

    Attributes:
        workers: how many calls run at a time, roughly.
        shares_files: whether the workers see the local files of this process.
    """

    workers: int
    shares_files: bool

    def __enter__(self: Self) -> Self:
        return self

    @abc.abstractmethod
    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None: ...

    @abc.abstractmethod
    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], ahead: int | None = None
    ) -> Iterator[tuple[int, Result]]:
        """(position, result) of every item, in any order.

        The work begins at once, not when the first result is asked for.

        Args:
            function: takes an item; importable in another process, as its arguments are pickled.
            items: what to call it with.
            ahead: how many items may be begun whose results were not asked for yet, which bounds
                what they leave on the disk; None: any number.

        Raises:
            OrchardError: a call raised it, or a worker process died.
        """
