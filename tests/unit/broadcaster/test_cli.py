import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from broadcaster.cli.main import main
from broadcaster.cli.tools import ROOT

STOPS_WITHIN_S = 40


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


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start run.py with settings and a temporary folder of its own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("BROADCASTER_")}
    return subprocess.Popen(
        [sys.executable, "run.py", *arguments],
        cwd=ROOT,
        env={**environ, "BROADCASTER_DATA_DIR": str(directory / "data"), "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_words(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if words in line:
            return
    pytest.fail(f"never said {words!r}: {''.join(told)}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_interrupted_while_it_starts_ends_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    tmp_path.chmod(0o711)
    with start(tmp_path, "demo", "--exit", "--json", "--people", "500000") as process:
        wait_for_words(process, "Seeding the city")
        process.send_signal(number)
        out, _ = process.communicate(timeout=STOPS_WITHIN_S)
    assert process.returncode == 130
    assert out == ""
    assert list(tmp_path.glob("broadcaster-*")) == []
