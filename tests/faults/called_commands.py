"""The project's commands called in this process, as a shell would: exit code and what they said."""

import sys
from importlib import import_module

import pytest


class Commands:
    """Calls `python -m MODULE ARGUMENTS`, without the seconds that importing torch and pandas takes each time."""

    def __init__(self, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self.patch, self.captured = patch, captured

    def __call__(self, module: str, *arguments: object) -> tuple[int, str]:
        """Exit code and stderr."""
        name = f"{module}.__main__" if module in ("glofnd.data", "glofnd.pretraining", "evaluation") else module
        self.patch.setattr(sys, "argv", [module, *map(str, arguments)])
        self.captured.readouterr()
        try:
            code = import_module(name).main()
        except SystemExit as ended:
            code = ended.code
        return int(code or 0), self.captured.readouterr().err

    def refused(self, module: str, *arguments: object) -> str:
        """The one line of error that a command ends with."""
        code, said = self(module, *arguments)
        lines = [line for line in said.splitlines() if line.startswith("error")]
        assert (code, len(lines)) == (2, 1), said
        assert "Traceback" not in said
        assert said.splitlines()[-1] == lines[0]
        return lines[0]
