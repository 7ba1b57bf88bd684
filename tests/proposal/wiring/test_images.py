from pathlib import Path

import pytest

from fleetpgo.proposal.wiring.images import unreached_images
from fleetpgo.proposal.wiring.texts import BuildTexts

PROFILE = "cmd/api/default.pgo"


def said(
    dockerfile,
    *,
    ignored="",
    command=("make", "build"),
    profile=PROFILE,
    automatic=False,
    name="Dockerfile",
):
    ignores = {".dockerignore": ignored} if ignored else {}
    repository = BuildTexts(Path("/r"), "main", {name: dockerfile}, {}, {}, ignores)
    return unreached_images(repository, profile, command, automatic=automatic)


@pytest.mark.parametrize(
    "copies",
    [
        "COPY . .",
        "ADD ./ /src",
        "COPY --chown=a:b cmd /src/cmd",
        "COPY cmd/api/*.pgo go.mod /src/",
        'COPY ["cmd/api", "/src/"]',
        "COPY go.mod \\\n  cmd/ ./",
        "RUN --mount=type=bind,target=. true\nCOPY go.mod .",
    ],
)
def test_an_image_that_copies_the_profile_needs_no_word(copies):
    assert said(f"FROM golang\n{copies}\nRUN make build\n") == ()


@pytest.mark.parametrize(
    "copies", ["COPY lib lib", "COPY --from=x cmd cmd\nCOPY go.mod .", "COPY cmd/*.go ./"]
)
def test_an_image_that_copies_something_else_is_named(copies):
    (sentence,) = said(f"{copies}\nRUN apt-get update && make -j4 build\n")

    assert sentence == (
        "the image of Dockerfile no longer builds: it does not copy cmd/api/default.pgo before it builds the "
        "service"
    )


@pytest.mark.parametrize(
    "run", ['["make", "build"]', "<<EOF\nset -e\nmake build\nEOF", "<<-'X' sh\nmake build\nX"]
)
def test_an_image_that_builds_by_a_list_of_words_or_a_script_is_named(run):
    assert len(said(f"COPY lib lib\nRUN {run}\n")) == 1


def test_what_follows_a_here_document_is_read():
    assert len(said("COPY lib lib\nRUN <<EOF\nls\nEOF\nRUN make build\n")) == 1


@pytest.mark.parametrize(
    ("copies", "reached"), [("COPY cmd cmd", True), ("COPY . .", True), ("COPY lib lib", False)]
)
def test_the_context_may_be_the_directory_of_the_dockerfile(copies, reached):
    place = {"name": "services/api/Dockerfile", "profile": "services/api/cmd/default.pgo"}

    assert (said(f"{copies}\nRUN make build\n", **place) == ()) is reached


@pytest.mark.parametrize(
    ("build", "named"),
    [
        ("go build -o /worker ./cmd/worker", False),
        ("cd cmd && go build -o /worker ./worker", False),
        ("go build -o /api ./cmd/api", True),
        ("cd cmd && go build ./api", True),
        ("go build ./...", True),
        ("go build ./cmd/$SERVICE", True),
        ("go build", True),
        ("go build example.com/shop/cmd/api", True),
    ],
)
def test_an_image_of_another_program_needs_no_word(build, named):
    assert (len(said(f"COPY lib lib\nRUN {build}\n", automatic=True)) == 1) is named


@pytest.mark.parametrize("run", ["make lint", "makeinfo build", "ls", "echo make"])
def test_an_image_that_does_not_build_the_service_needs_no_word(run):
    assert said(f"COPY lib lib\nRUN {run}\n") == ()


@pytest.mark.parametrize(
    ("rules", "left_out"),
    [
        ("*.pgo", False),
        ("**/*.pgo", True),
        ("cmd", True),
        ("/cmd/api/\n", True),
        ("# cmd", False),
        ("*\n!cmd/api", False),
        ("*\n!cmd\n**/default.pgo", True),
    ],
)
def test_what_dockerignore_leaves_out_is_not_copied(rules, left_out):
    found = said("COPY . .\nRUN make build\n", ignored=rules, automatic=True)

    expected = (
        "the image of Dockerfile builds without the profile: it does not get cmd/api/default.pgo, which "
        ".dockerignore leaves out, before it builds the service"
    )
    assert found == ((expected,) if left_out else ())


def test_a_go_build_of_its_own_takes_default_pgo_only_if_it_is_copied():
    dockerfile = "COPY cmd/api/main.go cmd/api/\nRUN go build ./cmd/api\n"

    assert [len(said(dockerfile, automatic=each)) for each in (True, False)] == [1, 0]
