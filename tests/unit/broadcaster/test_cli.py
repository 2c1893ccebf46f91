import importlib.util
from pathlib import Path

import pytest

from broadcaster.cli.main import main


def test_every_bench_listed_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    names = capsys.readouterr().out.split()
    assert "fanout" in names
    for name in names:
        spec = importlib.util.find_spec(f"bench.{name}")
        assert spec is not None
        assert spec.origin is not None
        assert '__name__ == "__main__"' in Path(spec.origin).read_text(encoding="utf-8")


def test_a_helper_of_the_benches_is_no_bench(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "report"]) == 2
    assert "there are fanout" in capsys.readouterr().err
