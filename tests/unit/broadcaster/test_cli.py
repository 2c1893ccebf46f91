import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from broadcaster import settings
from broadcaster.cli.main import main
from broadcaster.cli.tools import ROOT
from broadcaster.demo.alone import alone
from broadcaster.demo.carriers import free_port

STOPS_WITHIN_S = 90


def test_every_bench_listed_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    listed = capsys.readouterr().out
    assert main(["bench", "list"]) == 0
    assert capsys.readouterr().out == listed
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--help"])
    assert ended.value.code == 0
    assert listed in capsys.readouterr().out
    names = [line.split()[0] for line in listed.splitlines()]
    assert "fanout" in names
    for name in names:
        spec = importlib.util.find_spec(f"bench.{name}")
        assert spec is not None
        assert spec.origin is not None
        assert '__name__ == "__main__"' in Path(spec.origin).read_text(encoding="utf-8")


def test_a_helper_of_the_benches_is_no_bench(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "report"]) == 2
    assert "there are audience, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["people", "synth", "-3"], "-3 is not a number of at least 1"),
        (["people", "synth", "many"], "many is not a number of at least 1"),
        (["demo", "--people", "0"], "0 is not a number of at least 1"),
        (["worker", "--role", "clock", "--lanes", "emergency"], "role clock has no lanes"),
        (["worker", "--lanes", "routine,routine"], "names a lane twice"),
        (["worker", "--lanes", "fast"], "lanes are emergency"),
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


@pytest.mark.slow
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


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BROADCASTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_second_demo_on_the_same_folder_is_refused(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = settings.load(http_port=free_port())
    with alone(first):
        assert main(["demo", "--port", str(free_port())]) == 1
    told = capsys.readouterr().err
    assert f"A demo is already running on {data_dir}, at {first.public_url};" in told
    assert "BROADCASTER_DATA_DIR" in told
    assert not (data_dir / "servers").exists()
    with alone(first):
        pass


def test_a_taken_port_is_told_before_anything_starts(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 1
    told = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 (Address already in use)" in told
    assert "--port" in told
    assert not (data_dir / "servers").exists()


def test_demo_with_exit_refuses_a_name_that_is_no_setting(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROADCASTER_FOO", "1")
    assert main(["demo", "--exit"]) == 2
    assert "BROADCASTER_FOO is not a setting" in capsys.readouterr().err
    assert not data_dir.exists()


def test_whoever_stops_reading_hears_no_complaint(tmp_path: Path) -> None:
    process = start(tmp_path, "templates", "list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    assert (process.wait(30), said) == (128 + signal.SIGPIPE, "")
