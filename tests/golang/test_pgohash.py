from fleetpgo.golang.pgohash import Choice, Choices, denying, showing

_ALLOWED = "hot-budget check allows inlining for call example.com/deep."
SPILL_ALLOWED = f"{_ALLOWED}spill (cost 120) at ./deep.go:10:16 in function example.com/deep.Walk"
MIX_ALLOWED = f"{_ALLOWED}mix (cost 99) at ./deep.go:12:21 in function example.com/deep.Walk"

OUTPUT = f"""\
# example.com/deep [example.com/deep.test]
hot-node enabled increased budget=2000 for func=example.com/deep.spill
./deep.go:10:16 (inline) [bisect-match 0x0123456789abcdef]
pgohash triggered ./deep.go:10:16 (inline) 100110101011110011011110
{SPILL_ALLOWED}
./deep.go:12:21; ./deep.go:30:4 (inline) [bisect-match 0x00000000000000ff]
{MIX_ALLOWED}
./deep.go:10:16 (inline) [bisect-match 0x0123456789abcdef]
{SPILL_ALLOWED}
# sort
/go/src/sort/sort.go:5:6: call sort.Sort:2: hottest callee example.com/deep.byAge.Less (weight 10)
/go/src/sort/sort.go:5:6 (devirt) [bisect-match 0xffffffffffffffff]
""".splitlines()

SPILL = Choice(
    "example.com/deep",
    "./deep.go:10:16",
    "inline",
    "example.com/deep.Walk",
    "example.com/deep.spill",
    "0123456789abcdef",
)


def read(lines):
    choices = Choices()
    for line in lines:
        choices.read(line)
    return choices


def test_choices_are_read_once_each_with_caller_and_callee_and_the_library_s_last():
    found = read(OUTPUT).found

    assert found == [
        SPILL,
        Choice(
            "example.com/deep",
            "./deep.go:12:21; ./deep.go:30:4",
            "inline",
            "example.com/deep.Walk",
            "example.com/deep.mix",
            "00000000000000ff",
        ),
        Choice(
            "sort",
            "/go/src/sort/sort.go:5:6",
            "devirt",
            "sort.Sort",
            "example.com/deep.byAge.Less",
            "ffffffffffffffff",
        ),
    ]
    assert [each.line for each in found] == ["./deep.go:10", "./deep.go:30", "/go/src/sort/sort.go:5"]


def test_a_compiler_that_does_not_know_pgohash_is_noticed():
    assert read(["# runtime", 'invalid value "pgohash=vy" for flag -d: unknown debug key pgohash']).unknown
    assert not read(OUTPUT).unknown


def test_denied_choices_stand_in_the_last_flag_of_their_package():
    assert denying(["example.com/deep", "sort"], [SPILL]) == [
        *showing(["example.com/deep", "sort"]),
        "-gcflags=example.com/deep=-d=pgodebug=2,pgohash=v!x6789abcdef",
    ]
