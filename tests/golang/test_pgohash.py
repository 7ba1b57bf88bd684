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


def test_two_packages_with_one_place_and_so_one_hash_are_two_choices():
    one = [OUTPUT[2], OUTPUT[4]]
    found = read(["# example.com/a", *one, "# example.com/b", *one]).found

    assert [(each.package, each.hash) for each in found] == [
        ("example.com/a", SPILL.hash),
        ("example.com/b", SPILL.hash),
    ]


def test_names_of_generic_functions_may_hold_blanks():
    callee, caller = (
        "example.com/deep.F[go.shape.struct { X int }]",
        "example.com/deep.G[go.shape.[]int, int]",
    )
    allowed = (
        f"hot-budget check allows inlining for call {callee} (cost 99) at ./d.go:1:2 in function {caller}"
    )
    (inlined,) = read(["# example.com/deep", OUTPUT[2], allowed]).found
    assert (inlined.caller, inlined.callee) == (caller, callee)

    hottest = f"./d.go:5:6: call {caller}:2: hottest callee {callee} (weight 10)"
    (direct,) = read([hottest, "./d.go:5:6 (devirt) [bisect-match 0xffffffffffffffff]"]).found
    assert (direct.caller, direct.callee) == (caller, callee)


def test_a_devirtualised_call_does_not_get_the_callee_of_another_one():
    *_, hottest, devirt = OUTPUT
    other = "/go/src/sort/sort.go:9:6 (devirt) [bisect-match 0x00000000000000aa]"
    callees = {each.hash: each.callee for each in read([hottest, devirt, other]).found}
    assert callees["00000000000000aa"] == "the callee at /go/src/sort/sort.go:9:6"


def test_a_build_cannot_fill_the_memory_with_choices(monkeypatch):
    monkeypatch.setattr("fleetpgo.golang.pgohash.MOST_CHOICES", 2)
    lines = [f"./d.go:{n}:1 (devirt) [bisect-match 0x{n:016x}]" for n in range(5)]
    assert len(read(lines).found) == 2
