"""Labels in a request. Whoever can push a metric can forge them, so each value is checked.

A value goes into a URL or a selector only if it is plainly a word, a number, a version or a host. A URL, a
path, white space, ``@``, a percent-escape, a quote or a control character is none of these.
"""

from __future__ import annotations

import re
from string import Template
from typing import TYPE_CHECKING

from fleetpgo.collection.faults import NeverError
from fleetpgo.network.addresses import INSTANCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleetpgo.selection import Target

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~+-]{0,252}")


def fill(template: str, target: Target, *, seconds: int, quote: Callable[[str], str] = str) -> str:
    """Replace a template's placeholders: the target's labels, ``$instance``, ``$host`` and ``$seconds``.

    Args:
        template: text with placeholders.
        target: the instance whose labels are inserted.
        seconds: the value of ``$seconds``.
        quote: escapes each value before it is inserted, in a URL for example.

    Raises:
        NeverError: a label is missing, or has a value that may not be sent.
    """
    address = INSTANCE.fullmatch(target.instance)
    if address is None:
        raise NeverError(f"its name is not host:port: {target.instance!r}")
    own = {"instance": target.instance, "host": address["host"], "seconds": str(seconds)}
    wanted = Template(template)
    values = {}
    for name in wanted.get_identifiers():
        value = own.get(name, target.labels.get(name))
        if value is None:
            raise NeverError(
                f"collection needs the label {name!r}; it has {', '.join(sorted(target.labels))}"
            )
        if name not in own and not _WORD.fullmatch(value):
            raise NeverError(f"the label {name}={value!r} may not be part of a request")
        values[name] = quote(value)
    return wanted.substitute(values)
