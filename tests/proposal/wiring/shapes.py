"""Repositories of forty shapes: what is edited in each, what is said, and which profile each binary gets.

Bazel, GoReleaser, ko and Docker are played by scripts (:data:`STAND_INS`) that call Go as they do. Everything
else is real: Go, make, git, Task, just and mage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.conftest import TINY
from tests.pprof.messages import message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CALLS = (
    ([[("main.square.area", 7, 7)], [("main.total", 9, 11)]], 900),
    ([[("main.total", 9, 10)], [("main.main", 16, 16)]], 100),
)
"""What TINY calls."""

MODULE = {
    "go.mod": "module example.com/shop\n\ngo 1.24\n",
    "cmd/api/main.go": TINY,
    "cmd/worker/main.go": TINY,
}
API, WORKER = "go build -o bin/api ./cmd/api", "go build -o bin/worker ./cmd/worker"
DEFAULT = "cmd/api/default.pgo"
PATH = "pgo/api.pprof"


def profile() -> bytes:
    """A profile of TINY, which makes the compiler change it."""
    return message(CALLS).SerializeToString()


@dataclass(frozen=True)
class Service:
    """A service of a repository: how it is built, and where its profile is to be, if anybody says so."""

    binary: str = "bin/api"
    command: str = "make api"
    profile: str | None = None


@dataclass(frozen=True)
class Shape:
    """A repository, and what comes of a proposal for each of its services.

    Attributes:
        name: what is special about it.
        files: besides those of MODULE; None is not there.
        services: in the order in which they are proposed and merged.
        changed: what the merges change.
        refused: pattern of the error; "": there is none.
        hint: what the error recommends, in part.
        said: what the first pull request says, in part.
        build: what builds all of its programs after the merges; "": the services' commands.
        others: programs besides those of services, which get no profile.
        links: path → target.
        tool: a program that it needs, besides Go, make and git.
        submodule: where a repository of one package, ``side``, is mounted.
        quick: whether `make test` has it.
    """

    name: str
    files: Mapping[str, str | None]
    services: Sequence[Service] = (Service(),)
    changed: Sequence[str] = (DEFAULT,)
    refused: str = ""
    hint: str = ""
    said: str = ""
    build: str = ""
    others: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    tool: str = ""
    submodule: str = ""
    quick: bool = False


def make(**recipes: str) -> dict[str, str]:
    """A Makefile of targets that never are up to date."""
    rules = "".join(f"{target}:\n\t{recipe}\n" for target, recipe in recipes.items())
    return {"Makefile": f"{rules}.PHONY: {' '.join(recipes)}\n"}


PATHS = (Service(profile=PATH),)
TOOLS = {"tools/go.mod": "module tools\n\ngo 1.24\n", "tools/main.go": TINY}
SIDE = "package side\n\nfunc Of(area int) int { return area }\n"
USING_SIDE = TINY.replace("package main\n", 'package main\n\nimport "example.com/side"\n').replace(
    "println(total", "println(side.Of(4), total"
)
REFUSED: dict[str, list[str]] = {"changed": []}

SHAPES = (
    Shape("the line of a Makefile", make(api=API), PATHS, ["Makefile", PATH], quick=True),
    Shape(
        "two mains, a line each, and a tool of another module",
        make(api=API, worker=WORKER, tools="cd tools && go build -o ../bin/lint .") | TOOLS,
        (Service(profile=PATH), Service("bin/worker", "make worker", "pgo/worker.pprof")),
        ["Makefile", PATH, "pgo/worker.pprof"],
        build="make api worker tools",
        others=["lint"],
    ),
    Shape(
        "two mains, one line",
        make(build="go build -o bin/ ./cmd/..."),
        (Service(command="make build"), Service("bin/worker", "make build")),
        [DEFAULT, "cmd/worker/default.pgo"],
        build="make build",
        quick=True,
    ),
    Shape(
        "a pattern rule",
        {"Makefile": "bin/%: FORCE\n\tgo build -o $@ ./cmd/$*\nFORCE:\n"},
        (Service(command="make bin/api", profile=PATH),),
        refused=r"what to edit is not certain: Makefile:2: variables say which program it makes",
        hint="leave repository.profile out of the service file: the profile then goes to cmd/api/default.pgo",
        quick=True,
        **REFUSED,
    ),
    Shape(
        "a Makefile that is a link",
        {"mk/service.mk": make(api=API, worker=WORKER)["Makefile"]},
        PATHS,
        ["mk/service.mk", PATH],
        build="make api worker",
        others=["worker"],
        links={"Makefile": "mk/service.mk"},
    ),
    Shape(
        "a build in another directory",
        make(api="cd cmd/api && go build -o ../../bin/api"),
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "-pgo=off where another program is built",
        make(api=API, lint="go build -pgo=off -o bin/worker ./cmd/worker"),
        PATHS,
        ["Makefile", PATH],
        build="make api lint",
        others=["worker"],
    ),
    Shape(
        "-trimpath, and a default.pgo of another program",
        make(api="go build -trimpath -o bin/api ./cmd/api") | {"cmd/worker/default.pgo": ""},
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "variables of the Makefile",
        {
            "Makefile": "GO ?= go\nBIN := bin/api\nPKG = ./cmd/api\n"
            "api:\n\t$(GO) build -ldflags '-X main.version=$(shell echo 1)' -o $(BIN) $(PKG)\n"
        },
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "an included Makefile",
        {"Makefile": "include mk/build.mk\n", "mk/build.mk": make(api=API)["Makefile"]},
        PATHS,
        refused=r"what to edit is not certain: it may be in mk/build\.mk: go build -o bin/api \./cmd/api",
        hint="by hand, add `-pgo=pgo/api.pprof` to `go build -o bin/api ./cmd/api`",
        **REFUSED,
    ),
    Shape(
        "a recursive make in an inner module of a workspace",
        {
            "go.work": "go 1.24\n\nuse (\n\t.\n\t./inner\n)\n",
            "inner/go.mod": "module example.com/shop/inner\n\ngo 1.24\n",
            "inner/main.go": TINY,
            "inner/Makefile": make(api="go build -C . -o ../bin/api .")["Makefile"],
            **make(api="$(MAKE) -C inner api", worker=WORKER),
        },
        (Service(),),
        ["inner/default.pgo"],
        build="make api worker",
        others=["worker"],
    ),
    Shape(
        "Task",
        {"Taskfile.yml": f"version: '3'\ntasks:\n  api:\n    cmds:\n      - {API}\n"},
        (Service(command="task api"),),
        tool="task",
    ),
    Shape("just", {"justfile": f"api:\n    {API}\n"}, (Service(command="just api"),), tool="just"),
    Shape(
        "mage",
        {
            "magefile.go": "//go:build mage\n\npackage main\n\n"
            'import (\n\t"os"\n\t"os/exec"\n)\n\n// Api builds.\nfunc Api() error {\n'
            '\tc := exec.Command("go", "build", "-o", "bin/api", "./cmd/api")\n'
            "\tc.Stderr = os.Stderr\n\treturn c.Run()\n}\n",
        },
        (Service(command="mage api"),),
        tool="mage",
    ),
    Shape(
        "go install into the repository",
        make(api="GOBIN=$(CURDIR)/bin go install ./cmd/api"),
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "go install to where Go puts it",
        make(api="go install ./cmd/api"),
        refused=r"`make api` runs `go install \./cmd/api`, which writes outside of the clone",
        hint="name in build.command what only builds",
        **REFUSED,
    ),
    Shape(
        "vendoring",
        {
            "go.mod": "module example.com/shop\n\ngo 1.24\n\nrequire example.com/side v1.0.0\n",
            "vendor/modules.txt": "# example.com/side v1.0.0\n## explicit; go 1.24\nexample.com/side\n",
            "vendor/example.com/side/side.go": SIDE,
            "cmd/api/main.go": USING_SIDE,
            **make(api=API),
        },
    ),
    Shape(
        "a submodule",
        {
            "go.mod": "module example.com/shop\n\ngo 1.24\n\nrequire example.com/side v1.0.0\n\n"
            "replace example.com/side => ./side\n",
            "cmd/api/main.go": USING_SIDE,
            **make(api=API),
        },
        submodule="side",
    ),
    Shape(
        "Bazel with rules_go's attribute",
        {"BUILD.bazel": f'go_binary(\n    name = "api",\n    pgoprofile = "//:{PATH}",\n)\n', PATH: ""},
        (Service(command="bazel build //:api", profile=PATH),),
        [PATH],
        build="true",
        tool="bazel",
    ),
    Shape(
        "Bazel without it",
        {"BUILD.bazel": 'go_binary(\n    name = "api",\n)\n'},
        (Service(command="bazel build //:api", profile=PATH),),
        refused="the build left no record of the call",
        hint='set `pgoprofile = "//:pgo/api.pprof"` in the go_binary of BUILD.bazel',
        tool="bazel",
        **REFUSED,
    ),
    Shape(
        "GoReleaser",
        {".goreleaser.yaml": "builds:\n  - main: ./cmd/api\n"},
        (Service("dist/api", "goreleaser build --single-target"),),
        tool="goreleaser",
    ),
    Shape("ko", {".ko.yaml": "builds:\n  - main: ./cmd/api\n"}, (Service(command="ko build"),), tool="ko"),
    Shape(
        "an image that copies some files alone",
        {"Dockerfile": "FROM golang\nCOPY go.mod .\nCOPY cmd/api/*.go cmd/api/\nRUN go build ./cmd/api\n"},
        (Service(command=API),),
        said="the image of Dockerfile builds without the profile: it does not copy cmd/api/default.pgo",
    ),
    Shape(
        "a main package that is a link",
        {"cmd/api/main.go": None, "services/api/main.go": TINY, **make(api=API)},
        changed=["services/api/default.pgo"],
        links={"cmd/api": "../services/api"},
    ),
    Shape(
        "two modules, one Makefile",
        {
            **dict.fromkeys(MODULE),
            "services/api/go.mod": "module example.com/api\n\ngo 1.24\n",
            "services/api/main.go": TINY,
            "services/worker/go.mod": "module example.com/worker\n\ngo 1.24\n",
            "services/worker/main.go": TINY,
            **make(
                api="cd services/api && go build -o ../../bin/api .",
                worker="cd services/worker && go build -o ../../bin/worker",
            ),
        },
        (Service(profile=PATH), Service("bin/worker", "make worker", "pgo/worker.pprof")),
        ["Makefile", PATH, "pgo/worker.pprof"],
    ),
    Shape(
        "a Makefile that services include",
        {
            "cmd/api/Makefile": "include ../../mk/build.mk\n",
            "cmd/worker/Makefile": "include ../../mk/build.mk\n",
            "mk/build.mk": "NAME = $(notdir $(CURDIR))\nbuild:\n\tgo build -o ../../bin/$(NAME)\n",
            "Makefile": "api worker:\n\t$(MAKE) -C cmd/$@ build\ninclude mk/build.mk\n",
        },
        (Service(profile=PATH),),
        refused=r"it may be in mk/build\.mk",
        hint="by hand, add `-pgo=../../pgo/api.pprof` to `go build -o ../../bin/api`, which makes bin/api in",
        **REFUSED,
    ),
    Shape(
        "a workspace in a workspace",
        {
            "go.work": "go 1.24\n\nuse .\n",
            "services/go.work": "go 1.24\n\nuse ./api\n",
            "services/api/go.mod": "module example.com/services/api\n\ngo 1.24\n",
            "services/api/main.go": TINY,
            **make(api="cd services && go build -o ../bin/api ./api"),
        },
        changed=["services/api/default.pgo"],
    ),
    Shape(
        "a define that a recipe calls",
        {"Makefile": f"define build-api\n\t{API}\nendef\napi:\n\t$(build-api)\n.PHONY: api\n"},
        PATHS,
        refused=r"Makefile:2: it is in a `define`, which several recipes may run",
        hint="by hand, add `-pgo=pgo/api.pprof` to `go build -o bin/api ./cmd/api`",
        **REFUSED,
    ),
    Shape(
        "a variable that holds the command",
        {
            "Makefile": "GOCMD = go\nGOBUILD = $(GOCMD) build -v\n"
            'api:\n\t$(GOBUILD) -ldflags "-X main.built=$$(date +%s)" -o bin/api ./cmd/api\n.PHONY: api\n'
        },
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "a Makefile that make reads first",
        {"GNUmakefile": make(api=API)["Makefile"], **make(api=API)},
        PATHS,
        refused=r"any of Makefile:2, GNUmakefile:2 may have run",
        hint="by hand, add `-pgo=pgo/api.pprof` to `go build -o bin/api ./cmd/api`",
        **REFUSED,
    ),
    Shape(
        "an included Makefile that is found by a pattern",
        {"Makefile": "include $(wildcard mk/*.mk)\n", "mk/build.mk": make(api=API)["Makefile"]},
        PATHS,
        refused=r"it may be in mk/build\.mk",
        hint="or set repository.makefile to mk/build.mk",
        **REFUSED,
    ),
    Shape("a Makefile of DOS", {"Makefile": f"api: #\r\n\t{API} #\r\n"}, PATHS, ["Makefile", PATH]),
    Shape(
        "spaces in paths",
        make(api='go build -o "bin/the api" ./cmd/api'),
        (Service("bin/the api", "make api", "the profiles/api.pprof"),),
        ["Makefile", "the profiles/api.pprof"],
    ),
    Shape(
        "a binary that is staged and copied, beside another program",
        {
            "Makefile": "api: out/api\n\tmkdir -p bin && cp out/api bin/api\n.PHONY: api\n"
            "out/api: $(wildcard cmd/api/*.go)\n\tgo build -o out/lint ./cmd/worker\n"
            "\tgo build -o $@ ./cmd/api\n"
        },
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "a mark for what is done, and an absolute path",
        {
            "Makefile": "api: .built\n.built: $(shell find cmd -name '*.go')\n"
            "\tgo build -o $(PWD)/bin/api ./cmd/api\n\ttouch .built\n.PHONY: api\n"
        },
    ),
    Shape(
        "two modules of one name",
        {
            **dict.fromkeys(MODULE),
            "services/api/go.mod": "module app\n\ngo 1.24\n",
            "services/api/main.go": TINY,
            "services/worker/go.mod": "module app\n\ngo 1.24\n",
            "services/worker/main.go": TINY,
            **make(
                first="cd services/api && go build -o ../../bin/first .",
                second="cd services/worker && go build -o ../../bin/second .",
            ),
        },
        (Service("bin/first", "make first"), Service("bin/second", "make second")),
        ["services/api/default.pgo", "services/worker/default.pgo"],
    ),
    Shape(
        "a version in the name of the binary",
        {"Makefile": "VERSION := 1.2\n" + make(api="go build -o bin/api-$(VERSION) ./cmd/api")["Makefile"]},
        (Service("bin/api-1.2", profile=PATH),),
        ["Makefile", PATH],
    ),
    Shape(
        "-o names a directory",
        make(api="mkdir -p bin && go build -o bin ./cmd/api"),
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "several packages by one line",
        make(build="go build -o bin/ ./cmd/api ./cmd/worker"),
        (Service(command="make build", profile=PATH),),
        refused=r"Makefile:2: it makes several programs",
        hint="by hand, make bin/api by a `go build -pgo=pgo/api.pprof` of its own in ./",
        **REFUSED,
    ),
    Shape(
        "GOFLAGS with a profile of the environment",
        {
            "Makefile": "PROFILE ?= pgo/api.pprof\nexport GOFLAGS := -pgo=$(CURDIR)/$(PROFILE)\n"
            + make(api=API)["Makefile"],
            PATH: "",
        },
        changed=[PATH],
    ),
    Shape(
        "go generate before the build",
        {
            "cmd/api/generate.go": "package main\n\n//go:generate go run ../../generator\n",
            "generator/main.go": 'package main\n\nimport "os"\n\nfunc main() {\n'
            '\t_ = os.WriteFile("made.go", []byte("package main\\n\\nvar made = 1\\n"), 0o644)\n}\n',
            **make(api=f"go generate ./... && {API}"),
        },
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "a script in Python",
        {"build.py": f"import subprocess\n\nsubprocess.run({API.split()}, check=True)\n"},
        (Service(command="python3 build.py"),),
    ),
    Shape(
        "cgo",
        {
            "cmd/api/main.go": TINY.replace(
                "package main\n",
                'package main\n\n// static int two(void) { return 2; }\nimport "C"\n',
            ).replace("println(total", "println(C.two(), total"),
            **make(api=f"CGO_ENABLED=1 {API}"),
        },
        PATHS,
        ["Makefile", PATH],
    ),
    Shape(
        "Go by its path",
        {
            "Makefile": "GO := $(shell go env GOROOT)/bin/go\n"
            + make(api=API.replace("go", "$(GO)", 1))["Makefile"]
        },
        PATHS,
        refused=r"no record of the call; Go is called by its path in Makefile:3 \(`\$\(GO\) build -o bin/api",
        hint="or call `go` there, so that fleetpgo sees the call",
        quick=True,
        **REFUSED,
    ),
    Shape(
        "Go by its path, and no path for the profile",
        {
            "Makefile": "GO := $(shell go env GOROOT)/bin/go\n"
            + make(api=API.replace("go", "$(GO)", 1))["Makefile"]
        },
    ),
    Shape(
        "a tool that `go tool` runs",
        {
            "go.mod": f"{MODULE['go.mod']}\ntool example.com/shop/builder\n",
            "builder/main.go": 'package main\n\nimport "os/exec"\n\nfunc main() {\n'
            '\tif exec.Command("go", "build", "-o", "bin/api", "./cmd/api").Run() != nil {\n'
            "\t\tpanic(1)\n\t}\n}\n",
        },
        (Service(command="go tool builder", profile=PATH),),
        refused="what to edit is not certain: there is no Makefile",
        hint="by hand, add `-pgo=pgo/api.pprof` to `go build -o bin/api ./cmd/api`, which makes bin/api",
        **REFUSED,
    ),
    Shape("a container", make(api=f"docker run golang {API}"), tool="docker"),
    Shape(
        "a container, and a path for the profile",
        make(api=f"docker run golang {API}"),
        PATHS,
        refused="the build left no record of the call, as where Go runs in a container",
        hint="by hand, add `-pgo=pgo/api.pprof` to the `go build` that makes bin/api",
        tool="docker",
        **REFUSED,
    ),
    Shape(
        "a container that passes the profile",
        make(api=f"docker run golang {API.replace('-o', f'-pgo={PATH} -o')}") | {PATH: ""},
        changed=[PATH],
        tool="docker",
    ),
    Shape(
        "profiles in Git LFS",
        {".gitattributes": "*.pgo filter=lfs diff=lfs merge=lfs -text\n", **make(api=API)},
        refused="git would commit cmd/api/default.pgo with other bytes than it has",
        hint="add the line `cmd/api/default.pgo -text -filter`",
        tool="git-lfs",
        **REFUSED,
    ),
)

STAND_INS = {
    # As rules_go: compiler and linker are called alone, so that the binary holds no build settings.
    "bazel": """
profile=$(sed -n 's|.*pgoprofile = "//:\\(.*\\)",|\\1|p' BUILD.bazel)
mkdir -p bin out
"$GO" list -export -deps -f '{{with .Export}}packagefile {{$.ImportPath}}={{.}}{{end}}' runtime |
  grep . >out/importcfg
pgo=${profile:+-pgoprofile=$profile}
"$GO" tool compile -p main $pgo -importcfg out/importcfg -o out/main.a cmd/api/main.go
"$GO" tool link -importcfg out/importcfg -o bin/api out/main.a
""",
    # The repository is at another place, and so is Go.
    "docker": """
shift 3
rm -rf "$0.root" && cp -R . "$0.root"
(cd "$0.root" && "$GO" "$@")
mkdir -p bin && cp "$0.root/bin/api" bin/api
""",
    "goreleaser": "exec go build -o dist/api ./cmd/api\n",
    "ko": "go build -trimpath -o out/app ./cmd/api && mkdir -p bin && exec cp out/app bin/api\n",
}


def stand_in(name: str, go: str) -> str:
    """A program that plays a tool; it finds Go by its path."""
    return f"#!/bin/sh -e\nGO={go}\n{STAND_INS[name]}"
