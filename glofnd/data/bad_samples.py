"""What happens to a sample that cannot be used: the job fails, or the sample is left out and noted."""

from __future__ import annotations

from typing import Any

__all__ = ["BadSampleError", "BadSamples", "printable"]


def printable(text: object) -> str:
    """`text` on one line of valid Unicode: a file name may hold a line break, or bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


class BadSampleError(ValueError):
    """One sample cannot be used.

    Args:
        where: file and, where it is one of many in a file, member.
        reason: what is wrong with it.
    """

    def __init__(self, where: object, reason: str) -> None:
        # Both are arguments of the exception, so that it comes whole from another process.
        super().__init__(str(where), reason)
        self.where, self.reason = printable(where), printable(reason)

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class BadSamples:
    """The policy of a split, and the samples it has left out.

    Args:
        skip: leave bad samples out instead of failing at the first.
        limit: share of the samples that may be left out: of a wrong path or a wrong option all would be.

    Attributes:
        found: why each sample that is left out is bad, by index.
    """

    def __init__(self, skip: bool = False, limit: float = 0.0) -> None:
        self.skip, self.limit = skip, limit
        self.found: dict[int, BadSampleError] = {}

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> BadSamples:
        """The policy that the data set's parameters `bad_samples` and `max_skipped` state."""
        return cls(parameters["bad_samples"] == "skip", parameters["max_skipped"])

    def meet(self, index: int, problem: BadSampleError | FileNotFoundError) -> None:
        """Leave sample `index` out, or raise.

        Raises:
            ValueError: naming file and member, where bad samples are not skipped.
            FileNotFoundError: `problem` itself, then.
        """
        if not self.skip:
            if isinstance(problem, BadSampleError):
                raise ValueError(f"{problem}; repair it, or set `bad_samples: skip` to leave it out") from problem
            raise problem
        if isinstance(problem, FileNotFoundError):
            problem = BadSampleError(problem.filename, "is missing")
        self.found[index] = problem

    def check(self, total: int) -> None:
        """Refuse to have left out too many of `total` samples.

        Raises:
            ValueError: naming the first of them.
        """
        if len(self.found) > self.limit * total:
            raise ValueError(
                f"{len(self.found)} or more of {total} samples are bad, which is more than `max_skipped: "
                f"{self.limit:g}` allows to leave out; the first: {self.found[min(self.found)]}"
            )

    def noted(self) -> list[dict[str, Any]]:
        """The manifest's entries, by index."""
        return [{"index": i, "where": bad.where, "reason": bad.reason} for i, bad in sorted(self.found.items())]
