"""The processes of W6: members of a layer, and the one that sends to them. No sockets, no server.

Run by the interpreter of the layer under test, so it imports the standard library,
`channels` and the event loop, and nothing else of the benchmarks.
"""

from __future__ import annotations


class StationError(Exception):
    """A message was lost, doubled, out of order or late; the text says which."""
