import pytest

from fleetpgo.proposal.checkout import Checkout
from fleetpgo.proposal.git import git
from fleetpgo.proposal.wiring.mains import likely_profile, main_directories

MAIN = "// Command x.\npackage main\n"


@pytest.mark.parametrize(
    ("files", "binary", "expected"),
    [
        ({"main.go": MAIN}, "bin/api", "default.pgo"),
        ({"cmd/api/main.go": MAIN, "cmd/worker/main.go": MAIN}, "bin/api", "cmd/api/default.pgo"),
        ({"cmd/api/main.go": MAIN, "cmd/worker/main.go": MAIN}, "bin/other", None),
        ({"a/api/main.go": MAIN, "b/api/main.go": MAIN}, "bin/api", None),
        ({"main.go": MAIN, "gen/gen.go": f"//go:build ignore\n\n{MAIN}"}, "bin/api", "default.pgo"),
        ({"main.go": MAIN, "x/testdata/a/a.go": MAIN, "vendor/v/v.go": MAIN}, "bin/api", "default.pgo"),
        ({"x_test.go": MAIN, "lib.go": "package lib\n"}, "bin/api", None),
    ],
)
def test_the_profile_likely_belongs_beside_the_main_package_of_that_name(tmp_path, files, binary, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")

    mains = main_directories(Checkout(tmp_path, "", "main", "", "bot", None, "", {}).path)

    assert likely_profile(mains, binary) == expected
