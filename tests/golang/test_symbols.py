import pytest

from fleetpgo.golang.symbols import short, without_type_arguments


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("main.work", "main.work"),
        ("example.com/a/wire.(*text).identifier", "wire.(*text).identifier"),
        ("gopkg.in/yaml%2ev3.(*parser).parse", "yaml.v3.(*parser).parse"),
        (
            "slices.SortFunc[go.shape.[]example.com/a/b.Label,go.shape.struct { Name []uint8 }]",
            "slices.SortFunc",
        ),
        ("example.com/a.(*T[go.shape.int]).F.func1", "a.(*T).F.func1"),
    ],
)
def test_a_name_is_shown_without_path_and_type_arguments(name, shown):
    assert short(name) == shown


def test_a_name_of_a_million_brackets_takes_no_time_to_speak_of():
    assert without_type_arguments(f"main.f{'[' * 500_000}{']' * 500_000}") == "main.f"
