import sys
from io import StringIO

import pytest

from broadcaster.terminal import bar, level


def test_a_log_gets_a_line_at_the_start_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bar("Importing", "rows", 4000) as advance:
        for _ in range(4):
            advance(1000)
    with level("Sending", "deliveries") as stand:
        stand(3, 10)
        stand(10, 10)
    assert capsys.readouterr().err.splitlines() == [
        "Importing …",
        "Importing: 4000 rows",
        "Sending …",
        "Sending: 10 deliveries",
    ]


class Terminal(StringIO):
    """What a person sees."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with bar("Importing", "rows", 4) as advance:
        advance(1)
        advance(3)
    with level("Sending", "deliveries") as stand:
        stand(10, 10)
    assert "100%" in screen.getvalue()
    assert "4/4" in screen.getvalue()
    assert "10/10" in screen.getvalue()
