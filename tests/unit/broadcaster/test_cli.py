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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["people", "synth", "-3"], "-3 is not a number of at least 1"),
        (["people", "synth", "many"], "many is not a number of at least 1"),
        (["demo", "--people", "0"], "0 is not a number of at least 1"),
        (["units", "import", "a.geojson", "--vintage", "soon"], "not a date like 2025-07-01"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "folder"
    in_the_way.write_text("not a folder")
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(in_the_way / "data"))
    assert main(["migrate"]) == 1
    assert capsys.readouterr().err == f"{in_the_way}: file exists\n"
