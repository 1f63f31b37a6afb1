# SPDX-License-Identifier: Apache-2.0
"""Arguments of the benchmarks' scripts that cannot be end them with 2 and one line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HUGE = str(2**70)
COUNT = "expected a whole number from 1 to 2147483647"


@pytest.mark.parametrize(
    ("script", "given", "message"),
    [
        *(
            ("run", ["--threads", wrong], "from 1 to 1024, got")
            for wrong in ("0", "-1", "x", "", "nan", HUGE)
        ),
        *(("run", ["--seconds", wrong], "from 0 to 3600, got") for wrong in ("-1", "x", "nan", "inf", HUGE)),
        *(("run", ["--batch", wrong], COUNT) for wrong in ("0", "1,,2", "1.5", "", HUGE)),
        *(("run", ["--soak", wrong], COUNT) for wrong in ("0", "-5", HUGE)),
        ("run", ["--networks", ""], "'' is not one of lenet5"),
        ("run", ["--peers", "tensorflow"], "'tensorflow' is not one of torch"),
        ("run", ["--directions", "sideways"], "'sideways' is not one of forward"),
        ("run", ["--rows", "a:b"], "expected rows of the file as N:M, counted from 0, got 'a:b'"),
        ("run", ["--filter", "("], "'(' is no regular expression"),
        ("run", ["--shapes", "absent.csv"], "there is no file"),
        ("run", ["--json", "absent/rows.json"], "expected a file to write in a folder that is there"),
        ("run", ["--json", ""], "expected a file to write"),
        ("builds", ["a", "b", "--seconds", "nan"], "expected a number from 0 to 3600, got 'nan'"),
        ("builds", ["a", "b", "--networks", "lenet6"], "'lenet6' is not one of"),
        ("fill", ["absent.md"], "there is no file 'absent.md'"),
    ],
)
def test_what_scripts_refuse(
    module_of: Any, capsys: pytest.CaptureFixture[str], script: str, given: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        module_of(script).main(given)
    assert ended.value.code == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert message in last


@pytest.mark.parametrize(
    ("script", "given", "message"),
    [
        ("augmentation", ["--steps", "0"], COUNT),
        ("augmentation", ["--seconds", "inf"], "from 0 to 3600"),
        ("scale", ["--networks", "resnet20"], COUNT),
        ("scale", ["--networks", "resnet21:32"], "a name among cnncore.models.list()"),
        ("scale", ["--ranks", "0"], COUNT),
        ("scale", ["--rate", "0"], "expected a number from 1e-06 to 1e+06, got '0'"),
        ("scale", ["--read", "absent"], "there is no file 'absent'"),
    ],
)
def test_what_scripts_of_the_process_refuse(
    module_of: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str,
    given: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sys.argv", [script, *given])
    with pytest.raises(SystemExit) as ended:
        module_of(script).main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_rows_are_read_from_what_json_has_written(module_of: Any, tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text("nothing")
    arguments = module_of("arguments")
    assert arguments.readable(str(path)) == path
    assert arguments.counts("1,2") == [1, 2]
    with pytest.raises(Exception, match="a file that --json has written"):
        module_of("scale")._measured(str(path))
