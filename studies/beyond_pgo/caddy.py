"""Caddy: pages from templates, fetched through its own proxy, which compresses them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.processes import HOST, free_port
from studies.beyond_pgo.serving import Ask, Running, Server, launch, send

if TYPE_CHECKING:
    from pathlib import Path

ORDERS, PARAGRAPHS, POSTS = 120, 20, 4

CADDYFILE = """\
{
	admin %(admin)s
	persist_config off
	auto_https off
}
http://%(front)s {
	bind 127.0.0.1
	encode gzip
	log {
		output file %(directory)s/access.json
	}
	reverse_proxy %(back)s
}
http://%(back)s {
	bind 127.0.0.1
	root * %(directory)s/site
	templates
	file_server
}
"""

HEAD = """\
<!doctype html><html lang="en"><head><title>{{.Req.URL.Path}}</title></head><body>
<nav>{{range $n := until 12}}<a href="/page/{{$n}}">page {{add $n 1}}</a> {{end}}</nav>
"""

LIST = """\
{{include "/head.html"}}{{$orders := include "/orders.json" | fromJson}}
<table>{{range $order := $orders}}
<tr class="{{if gt $order.total 500.0}}large{{else}}small{{end}}"><td>{{$order.id}}</td>
<td>{{$order.customer | title}}</td><td>{{printf "%.2f" $order.total}}</td>
<td>{{range $tag := $order.tags}}<i>{{upper $tag}}</i>{{end}}</td>
<td>{{$order.note | trunc 40 | html}}</td></tr>
{{end}}</table>{{len $orders}} orders</body></html>
"""

POST = """\
{{include "/head.html"}}{{$post := include (printf "/%s.md" (.Req.URL.Query.Get "post")) | splitFrontMatter}}
<h1>{{$post.Meta.title}}</h1>{{markdown $post.Body}}</body></html>
"""


@dataclass(frozen=True)
class Caddy(Server):
    """A web server and proxy."""

    def start(self, binary: Path, directory: Path) -> Running:
        """Start a process with two sites: one makes pages, one is a proxy before it."""
        write_site(directory / "site")
        front, back, admin = (f"{HOST}:{free_port()}" for _ in range(3))
        config = directory / "Caddyfile"
        config.write_text(
            CADDYFILE % {"admin": admin, "front": front, "back": back, "directory": directory.absolute()}
        )
        own = {name: str(directory.absolute()) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        return launch(
            [binary, "run", "--config", config.absolute(), "--adapter", "caddyfile"],
            directory,
            address=front,
            ready=f"http://{front}/orders.json",
            pprof=f"http://{admin}/debug/pprof/profile",
            environment=own,
        )

    def drive(self, running: Running, requests: int, seed: int) -> None:
        """Ask for the list, for the posts and for a file."""
        send(running.address, asks(), requests, seed)


def asks() -> list[Ask]:
    """Return the requests; each is as likely as the others."""
    posts = [Ask(f"/post.html?post={n}", f"<h1>Post {n}</h1>".encode(), zipped=True) for n in range(POSTS)]
    listed = Ask("/list.html", f"{ORDERS} orders".encode(), zipped=True)
    return [listed, listed, *posts, Ask("/orders.json", b'"customer"', zipped=True)]


def write_site(site: Path) -> None:
    """Write the templates and their data, the same each time."""
    draw = random.Random(1)  # noqa: S311  not for secrets
    words = ["".join(draw.choices("abcdefghiklmnoprstuw", k=draw.randint(2, 9))) for _ in range(800)]

    def text(length: int) -> str:
        return " ".join(draw.choices(words, k=length))

    orders = [
        {
            "id": number,
            "customer": text(2),
            "total": round(draw.uniform(5, 1000), 2),
            "tags": draw.choices(words, k=3),
            "note": text(10),
        }
        for number in range(ORDERS)
    ]
    site.mkdir(parents=True)
    (site / "orders.json").write_text(json.dumps(orders))
    for name, template in {"head": HEAD, "list": LIST, "post": POST}.items():
        (site / f"{name}.html").write_text(template)
    for number in range(POSTS):
        body = "\n".join(
            f"## {text(3)}\n\n{text(40)} **{text(2)}** [{text(1)}](/{text(1)}).\n\n"
            f"- {text(6)}\n- `{text(3)}`\n"
            for _ in range(PARAGRAPHS)
        )
        (site / f"{number}.md").write_text(f"---\ntitle: Post {number}\n---\n{body}")


CADDY = Caddy(
    name="Caddy",
    module="github.com/caddyserver/caddy/v2",
    version="v2.11.9",
    package="github.com/caddyserver/caddy/v2/cmd/caddy",
    load="templates and Markdown, proxied and compressed",
)
