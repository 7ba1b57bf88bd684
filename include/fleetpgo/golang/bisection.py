"""From a slower benchmark to the call whose inlining because of a profile costs.

1. Without and with the profile, in turn: which benchmark is slower with it?
2. All that the compiler inlines and devirtualises because of the profile left out: does that help?
3. The search (:mod:`fleetpgo.golang.culprit`).
4. The proof: without the profile, with it, without the culprit alone, and with the culprit guarded
   (:func:`fleetpgo.pprof.guard`), in turn.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from fleetpgo import pprof
from fleetpgo.errors import BuildError, ToolchainError
from fleetpgo.golang.asking import hot_packages
from fleetpgo.golang.culprit import WITH, search
from fleetpgo.golang.pgohash import Choice, Choices, denying
from fleetpgo.golang.symbols import without_type_arguments
from fleetpgo.golang.timing import Interval, Times, duration, exactly, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from fleetpgo.golang.timing import Bench, Name

_log = logging.getLogger(__name__)

OFF, DENIED, WITHOUT, GUARDED = "no profile", "nothing inlined by it", "without the culprit", "guarded"
"""The sides, besides :data:`fleetpgo.golang.culprit.WITH`."""

SMALL = 0.02
"""A benchmark that is certainly less than this slower is no worse."""

_SHOWN = 20
"""Suspects that are kept where no single call is found."""

Outcome = Literal["found", "no worse", "uncertain", "no single call", "not the calls", "guard costs"]

_Key = tuple[str, frozenset[tuple[str, str]] | None]
"""A package, and the choices that are denied by package and hash; None: built without a profile."""


@dataclass(frozen=True)
class Bisected:
    """What a search for the culprit has found.

    Attributes:
        outcome: how it ended; `said` is that in words.
        said: the result, in a sentence or two.
        package: import path of the benchmark's package.
        benchmark: the benchmark that is slower with the profile, or the worst of all.
        slower: how many times as long it takes with the profile as without.
        choices: calls that the compiler inlines or devirtualises because of the profile.
        suspects: the culprit, or all calls of the function that costs; several functions' if none is found.
        times: side → median time per operation in nanoseconds, with its interval.
        rounds: of the last measurement.
        guard: the function to name in ``profile.guards``; "" if none is proved to help.
        cost: how many times as long the benchmark takes with the culprit as without; None: none is found.
    """

    outcome: Outcome
    said: str
    package: str
    benchmark: str
    slower: Interval
    times: Mapping[str, Interval]
    rounds: int
    choices: int = 0
    suspects: Sequence[Choice] = ()
    guard: str = ""
    cost: Interval | None = None


@dataclass
class Search:
    """One search, with the binaries that it has compiled.

    Args:
        bench: compiles and runs the benchmarks.
        profile: the profile.
    """

    bench: Bench
    profile: pprof.Profile
    _compiled: dict[_Key, Path] = field(default_factory=dict)
    _seen: dict[str, Choices] = field(default_factory=dict)
    _package: str = ""
    _benchmark: str = ""
    _slower: Interval = field(init=False)

    def __post_init__(self) -> None:
        self._pgo = self.bench.place / "with.pprof"
        self._pgo.write_bytes(self.profile.data)
        self._edges = pprof.call_edges(self.profile)
        self._packages = hot_packages(self._edges)

    def run(self, pattern: str) -> Bisected:
        """Search, and return what was found."""
        names = self.bench.find(pattern)
        again: list[Bisected] = []
        for (package, benchmark), times in self._worst(names, pattern):
            self._package, self._benchmark, self._slower = package, benchmark, times.ratio(WITH, OFF)
            if not _is_slower(self._slower):
                return self._ended(*_not_slower(benchmark, self._slower, times.rounds), times)
            _log.info("%s takes %s as long with the profile as without", benchmark, _times(self._slower))
            if not self._choices:
                return self._ended(
                    "not the calls",
                    f"{benchmark} is slower with the profile, but in its binary the compiler inlines and "
                    "devirtualises nothing because of it: no call is the culprit",
                    times,
                )
            sides = {OFF: None, WITH: (), DENIED: self._choices}
            everything = self._race(sides, lambda t: t.faster(DENIED, WITH))
            if everything.faster(DENIED, WITH):
                return self._search(everything)
            if everything.faster(OFF, WITH):
                return self._ended(
                    "not the calls",
                    f"{benchmark} is slower with the profile, also where none of the "
                    f"{len(self._choices):,} calls is inlined or devirtualised because of it: no call is the "
                    "culprit. What else the compiler does with a profile is its alignment and order of code",
                    everything,
                )
            # Of many benchmarks one may seem slower by chance; another may be.
            again.append(self._ended("uncertain", _not_again(benchmark, everything), everything))
        return again[0]

    @property
    def _choices(self) -> Sequence[Choice]:
        return self._seen[self._package].found

    def _ended(
        self,
        outcome: Outcome,
        said: str,
        times: Times,
        suspects: Sequence[Choice] = (),
        guard: str = "",
        cost: Interval | None = None,
    ) -> Bisected:
        _log.info("%s", said)
        return Bisected(
            outcome,
            said,
            self._package,
            self._benchmark,
            self._slower,
            {side: times.median(side) for side in times.of},
            times.rounds,
            len(self._choices),
            suspects[:_SHOWN],
            guard,
            cost,
        )

    def _search(self, everything: Times) -> Bisected:
        """Search among the choices, of which all together cost."""
        suspects = search(self._choices, self._race)
        if len({each.callee for each in suspects}) > 1:
            return self._ended(
                "no single call",
                f"{len(suspects):,} calls are left of {len(self._choices):,}, and {self._benchmark} is not "
                "certainly faster without the one or the other half of them: each half costs as much as "
                "both, or too little to be told from chance",
                everything,
                suspects,
            )
        return self._prove(suspects)

    def _prove(self, culprit: Sequence[Choice]) -> Bisected:
        """Measure the profile with the culprit guarded, beside all else."""
        function = self._in_profile(culprit[0].callee)
        more = {GUARDED: self._guarded(function)} if function else {}

        def enough(times: Times) -> bool:
            return times.faster(WITHOUT, WITH) and (not more or times.faster(GUARDED, WITH))

        times = self._race({OFF: None, WITH: (), WITHOUT: culprit}, enough, more=more)
        call = "; ".join(f"{each.caller} → {each.callee} ({each.line})" for each in culprit[:_SHOWN])
        if not times.faster(WITHOUT, WITH):
            return self._ended(
                "uncertain",
                f"the search ends at {call}, but after {times.rounds} rounds {self._benchmark} is not "
                "certainly faster without it: run this again on a quieter machine",
                times,
                culprit,
            )
        cost = times.ratio(WITH, WITHOUT)
        said = f"{call} costs: with it {self._benchmark} takes {_times(cost)} as long"
        if not function:
            why = f". The profile has no function {culprit[0].callee}, so none can be guarded"
            return self._ended("guard costs", said + why, times, culprit, cost=cost)
        if not times.faster(GUARDED, WITH):
            return self._ended(
                "guard costs",
                f"{said}. A guard on {function} does not help: {self._benchmark} is not certainly faster "
                "with it; the guard also takes the profile's other effects on that function",
                times,
                culprit,
                cost=cost,
            )
        left = times.ratio(GUARDED, OFF)
        rest = (
            f". With the guard it still takes {_times(left)} as long as without a profile: after adding the "
            "guard, run this again, for there may be another culprit"
            if left.low > 1
            else ""
        )
        return self._ended("found", f"{said}{rest}", times, culprit, function, cost)

    def _guarded(self, function: str) -> Callable[[], dict[Name, float]]:
        """Compile the benchmark with a profile that guards a function; return what runs it."""
        guarded, _ = pprof.guard(self.profile, extra=[_guard(function)])
        place = self.bench.place / "guarded.pprof"
        place.write_bytes(guarded.data)
        flags = denying(self._packages, ())
        return self._timed(self.bench.compile("guarded", self._package, str(place), flags, seen=_quiet))

    def _worst(self, names: Sequence[Name], pattern: str) -> list[tuple[Name, Times]]:
        """Run all benchmarks without and with the profile.

        Returns:
            those that are certainly slower, the worst first; or, if there is none, the one that might be.
        """
        off, on = [], []
        for package in dict.fromkeys(package for package, _ in names):
            directory = self.bench.directory(package)
            off.append((self._compile(package, None), directory))
            on.append((self._compile(package, ()), directory))
        self._require_used()

        def side(binaries: Sequence[tuple[Path, Path]]) -> Callable[[], dict[Name, float]]:
            return lambda: {
                name: time
                for binary, directory in binaries
                for name, time in self.bench.time(binary, directory, pattern).items()
            }

        def certain(found: Mapping[Name, Times]) -> bool:
            slower = [times.ratio(WITH, OFF) for times in found.values()]
            return any(map(_is_slower, slower)) or all(each.high < 1 + SMALL for each in slower)

        found = in_turn({OFF: side(off), WITH: side(on)}, certain)
        if not found:
            raise BuildError(
                f"no benchmark of {pattern} ran in each round",
                hint="a benchmark must run under the same name each time, and not skip itself",
            )
        ratios = {name: times.ratio(WITH, OFF) for name, times in found.items()}
        slower = [name for name, ratio in ratios.items() if _is_slower(ratio)]
        # Where none is slower, the answer is about the one that might be by most.
        worst = sorted(slower, key=lambda name: -ratios[name].low) or [
            max(ratios, key=lambda name: ratios[name].high)
        ]
        return [(name, found[name]) for name in worst]

    def _require_used(self) -> None:
        """Refuse a profile that the compiler uses in none of the benchmarks' packages."""
        if any(seen.found for seen in self._seen.values()):
            return
        raise BuildError(
            "the profile is not used: in the benchmarks' binaries the compiler inlines and devirtualises "
            "nothing because of it",
            hint="see that build.benchmark runs the code that is hot in production; functions of package "
            "main have another name in its own tests, so the profile does not speak of them there",
        )

    def _compile(self, package: str, denied: Collection[Choice] | None) -> Path:
        """Compile a package's benchmarks with some choices denied; None: without a profile."""
        key = self._key(package, denied)
        if key in self._compiled:
            return self._compiled[key]
        seen, side = Choices(), "off" if denied is None else f"with-{len(self._compiled)}"
        pgo = "off" if denied is None else str(self._pgo)
        try:
            # The same flags on all sides: they take the place of such in GOFLAGS.
            flags = denying(self._packages, denied or ())
            binary = self.bench.compile(side, package, pgo, flags, seen=seen.read)
        except BuildError as error:
            if seen.unknown:
                raise _too_old() from error
            raise
        if denied is not None and not denied:
            self._seen[package] = seen
        self._compiled[key] = binary
        return binary

    @staticmethod
    def _key(package: str, denied: Collection[Choice] | None) -> _Key:
        return package, None if denied is None else frozenset((each.package, each.hash) for each in denied)

    def _timed(self, binary: Path) -> Callable[[], dict[Name, float]]:
        name, directory = (self._package, self._benchmark), self.bench.directory(self._package)

        def time() -> dict[Name, float]:
            times = self.bench.time(binary, directory, exactly(self._benchmark))
            # On one processor Go writes no number of them, and a name's own end looks like one.
            return {name: next(iter(times.values()))} if len(times) == 1 else times

        return time

    def _race(
        self,
        sides: Mapping[str, Collection[Choice] | None],
        decided: Callable[[Times], bool],
        more: Mapping[str, Callable[[], Mapping[Name, float]]] | None = None,
    ) -> Times:
        """Run the benchmark with some choices denied on each side, until a question is decided."""
        name = self._package, self._benchmark
        timed = {side: self._timed(self._compile(self._package, denied)) for side, denied in sides.items()}
        found = in_turn({**timed, **(more or {})}, lambda found: name in found and decided(found[name]))
        for denied in filter(None, sides.values()):  # a service's test binary may have a hundred megabytes
            self._compile(self._package, denied).unlink(missing_ok=True)
            del self._compiled[self._key(self._package, denied)]
        if name not in found:
            raise BuildError(
                f"{self._benchmark} did not run in each round",
                hint="a benchmark must run under the same name each time, and not skip itself",
            )
        return found[name]

    def _in_profile(self, callee: str) -> str:
        """Return the name that the profile has for a function of the compiler's output; "": it has none."""
        names = {edge.callee: None for edge in self._edges.weights}
        if callee in names:
            return callee
        # Dots of import paths are escaped, and an instance of a generic function may be named otherwise.
        plain = without_type_arguments(callee)
        return next((name for name in names if without_type_arguments(unquote(name)) == plain), "")


def _is_slower(ratio: Interval) -> bool:
    """Return whether a benchmark is certainly slower with the profile, by more than is SMALL."""
    return ratio.low > 1 and ratio.high >= 1 + SMALL


def _not_slower(benchmark: str, slower: Interval, rounds: int) -> tuple[Outcome, str]:
    if slower.high < 1 + SMALL:
        return "no worse", (
            f"no worse with the profile: nothing to look for. {benchmark} is the one that gains least: it "
            f"takes {_times(slower)} as long as without"
        )
    return "uncertain", (
        f"after {rounds} rounds it is not certain that any benchmark is slower with the profile; {benchmark} "
        f"takes {_times(slower)} as long as without. Use a quieter machine, or benchmarks that vary less"
    )


def _not_again(benchmark: str, times: Times) -> str:
    ratio = _times(times.ratio(WITH, OFF))
    return (
        f"{benchmark} was slower with the profile in the first rounds, and in {times.rounds} further ones it "
        f"takes {ratio} as long as without, which is not certain: run this again on a quieter machine"
    )


def _too_old() -> ToolchainError:
    return ToolchainError(
        "this Go's compiler has no -d=pgohash, which chooses single calls",
        hint="Go 1.22 or newer has it; set GOTOOLCHAIN in build.environment, or raise `go` in go.mod",
    )


def _times(ratio: Interval) -> str:
    """Return a ratio in words, with its interval."""
    return f"{ratio.estimate:.3g} [{ratio.low:.3g}, {ratio.high:.3g}] times"


def _guard(function: str) -> pprof.Guard:
    return pprof.Guard(function=function, since="", until="", issue="", why="")


def _quiet(_: str) -> None:
    """Show no line: of a search's many builds the errors alone are of interest."""


def shown(time: Interval) -> str:
    """Return a time with its interval: ``3.94 ms [3.9 ms, 4.01 ms]``."""
    return f"{duration(time.estimate)} [{duration(time.low)}, {duration(time.high)}]"
