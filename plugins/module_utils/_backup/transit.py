# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dump on its way out of a container: what left it against what arrived. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._backup.archive import Meter
from ansible_collections.tria.production.plugins.module_utils._backup.process import Deadline
from ansible_collections.tria.production.plugins.module_utils._backup.source import Container, Server
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

# In the container, because only there can be told what left it. The command comes as arguments and is never parsed; its
# own exit status is that of the whole. `tee` writes to the outer standard output (5) and to the pipes of both counters
# (3 and 6); what they and the command tell is collected from 4.
_SCRIPT = """
exec 5>&1
told=$(
  { { "$@" 4>&- 5>&-; echo "status $?" >&4; } | {
      { tee /dev/fd/3 /dev/fd/6 3>&1 >&5 4>&- 5>&- | { echo "sha256 $(sha256sum)" >&4; } 5>&- 6>&-; } 6>&1 |
      { echo "bytes $(wc -c)" >&4; } 5>&-
    }
  } 4>&1
)
status=${told#*status }
status=${status%%[!0-9]*}
if [ "$status" = 0 ]; then printf '\\ntransit: %s\\n' "$(echo $told)" >&2; fi
exit "$status"
"""
_TOLD = re.compile(r"^transit: (?P<words>.*)$", re.MULTILINE)
_BYTES = re.compile(r"\bbytes +(\d+)")
_SHA256 = re.compile(r"\bsha256 ([0-9a-f]{64})")


class _Sink:
    """What `Meter` writes through to."""

    def __init__(self, write: t.Callable[[bytes], t.Any]) -> None:
        self.write = write


def carried(source: Server, argv: list[str], deadline: Deadline, sink: t.Callable[[bytes], t.Any]) -> None:
    """Runs `argv`; what it prints goes to `sink`. Raises `ProductionError` when not all of it arrived as it left."""
    if not isinstance(source, Container):
        source.run(argv, deadline, sink=sink)
        return
    meter = Meter(_Sink(sink))
    said = source.run(["sh", "-c", _SCRIPT, "sh"] + argv, deadline, sink=meter.write, tool=argv[0])
    told = _TOLD.search(said)
    words = told["words"] if told else ""
    left = [match and match[1] for match in (_BYTES.search(words), _SHA256.search(words))]
    if left != [str(meter.size), meter.sha256]:
        raise ProductionError(
            source.name,
            f"of {left[0]} bytes with SHA-256 {left[1]} that {argv[0]} printed in the container, {meter.size} with"
            f" SHA-256 {meter.sha256} arrived.",
            "Run again; the Docker Engine has lost or changed output (see its log). Nothing was published.",
        )
