"""A forked process that kills itself with SIGKILL just before the k-th line of given modules is executed."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any


def killed_before_line(action: Callable[[], object], number: int, *modules: ModuleType) -> bool:
    """Run `action` in a fork and kill it before line `number` (counted as executed, from 0) of the modules.

    Returns:
        Whether it was killed; False where it has ended before so many lines.
    """
    child = os.fork()
    if not child:
        _run(action, number, _files(modules))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "it failed of itself, see above"
    return False


def _files(modules: tuple[ModuleType, ...]) -> set[str]:
    return {str(Path(str(module.__file__)).resolve()) for module in modules}


def _run(action: Callable[[], object], number: int, files: set[str], counted: int | None = None) -> None:
    left = number

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return on_line

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        return on_line if frame.f_code.co_filename in files else None

    code = 1
    try:
        sys.settrace(on_call)
        action()
        if counted is not None:
            os.write(counted, str(number - left).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # No clean-up of pytest's, of which this is a copy.
        os._exit(code)


def lines_of(action: Callable[[], object], *modules: ModuleType) -> int:
    """How many lines of the modules an undisturbed run executes; it is done in a fork."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _run(action, -1, _files(modules), writer)
    os.close(writer)
    with os.fdopen(reader) as counted:
        text = counted.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "it failed of itself, see above"
    return int(text)
