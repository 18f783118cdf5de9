"""The answering half of an HTTP/1.1 connection: events in, bytes out.

Checks the order of what the application sends, and chooses how the end of the
body is told (RFC 9112 6): by Content-Length if the application gave one, else by
chunks, else, to an HTTP/1.0 client, by closing.
"""

from __future__ import annotations

import enum
import http
from collections.abc import Iterable
from typing import Final

from ...types import Header
from .events import Informational, LocalProtocolError, Request, Response, ResponseBody
from .fields import list_items, shorten, write_fields

# RFC 9112 4; RFC 9110 2.5: the version is the server's own, not the client's.
_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode("ascii"))
    for status in http.HTTPStatus
}

# Fields that decide how the message is framed; the others pass untouched.
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection"))


class _Answering(enum.Enum):
    HEAD = "the head of the response"
    BODY = "the body of the response"
    DONE = "nothing: the response is complete"
    BROKEN = "nothing: the response was broken off"


class _Length(enum.Enum):
    """What tells the end of the body, where no number does."""

    NO_BODY = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()


# Python 3.11 takes 90 ns to look up a member of an enum, ten times as much as a global.
_EXPECT_HEAD: Final = _Answering.HEAD
_EXPECT_BODY: Final = _Answering.BODY
_DONE: Final = _Answering.DONE
_BROKEN: Final = _Answering.BROKEN
_NO_BODY: Final = _Length.NO_BODY
_CHUNKED: Final = _Length.CHUNKED
_UNTIL_CLOSE: Final = _Length.UNTIL_CLOSE


class ResponseWriter:
    """Writes the response to one request after the other.

    Before the first request, and after a malformed one, it writes an answer all
    the same, which closes (a 400, a 408).
    """

    __slots__ = ("_answering", "_continue_owed", "_length", "_request", "_written", "keep_alive")

    def __init__(self) -> None:
        self._length: int | _Length = _NO_BODY
        self._written = 0
        self._request: Request | None
        self.rest()

    @property
    def complete(self) -> bool:
        return self._answering is _DONE

    def begin(self, request: Request) -> None:
        """Answer `request` next."""
        self._request = request
        self._answering = _EXPECT_HEAD
        self._continue_owed = request.expects_continue
        self.keep_alive = request.keep_alive

    def rest(self) -> None:
        """Between two requests; an answer now (a 408) belongs to none, and closes."""
        self._request = None
        self._answering = _EXPECT_HEAD
        self._continue_owed = False
        self.keep_alive = False

    def body_arrived(self) -> None:
        """The client did not wait for `100 Continue`, or waits no more."""
        self._continue_owed = False

    def send(self, event: Informational | Response | ResponseBody) -> bytes:
        if isinstance(event, ResponseBody):
            return self._send_body(event)
        if self._answering is not _EXPECT_HEAD:
            raise _out_of_order(event, self._answering)
        if isinstance(event, Informational):
            return self._send_informational(event)
        return self._send_head(event)

    def _send_informational(self, event: Informational) -> bytes:
        if not 100 <= event.status <= 199 or event.status == 101:
            raise LocalProtocolError(
                f"An interim answer has a status from 100 to 199, but not 101; got {event.status}."
            )
        # RFC 9110 15.2: HTTP/1.0 has no interim answers.
        if self._request is None or self._request.http_version == "1.0":
            return b""
        if event.status == 100:
            self._continue_owed = False
        return _status_line(event.status) + _write(list(event.headers)) + b"\r\n"

    def _send_head(self, event: Response) -> bytes:
        if not isinstance(event.status, int) or not 200 <= event.status <= 999:
            raise LocalProtocolError(
                f"The status of a response is a number from 200 to 999; got {event.status!r}."
            )
        # RFC 9110 10.1.1: a client told no `100 Continue` may send its body or leave it
        # out, and no reader could tell which.
        if self._continue_owed:
            self.keep_alive = False
        headers = list(event.headers)
        lengths, options, passing = _sort(headers)
        self._length = self._choose_length(event.status, lengths)
        head = (
            _status_line(event.status)
            + _write(passing)
            + self._write_framing(event.status, lengths, options)
        )
        self._written = 0
        self._answering = _EXPECT_BODY
        return head + b"\r\n"

    def _choose_length(self, status: int, lengths: list[bytes]) -> int | _Length:
        given = _read_length(lengths)
        # RFC 9112 6.3, 1: these never have a body, whatever their headers say.
        if status in (204, 304) or (self._request is not None and self._request.method == "HEAD"):
            return _NO_BODY
        if given is not None:
            return given
        # RFC 9112 6.1: chunks only go to a client that knows HTTP/1.1.
        if self._request is not None and self._request.http_version == "1.1":
            return _CHUNKED
        return _UNTIL_CLOSE

    def _write_framing(self, status: int, lengths: list[bytes], options: list[bytes]) -> bytes:
        lines = b""
        # RFC 9110 8.6: a 204 has no Content-Length.
        if lengths and status != 204:
            lines = b"content-length: " + lengths[0] + b"\r\n"
        if self._length is _CHUNKED:
            lines += b"transfer-encoding: chunked\r\n"
        return lines + self._write_connection(options)

    def _write_connection(self, options: list[bytes]) -> bytes:
        if self._length is _UNTIL_CLOSE or b"close" in options:
            self.keep_alive = False
        request = self._request
        if not options and self.keep_alive and request and request.http_version == "1.1":
            return b""
        options = [option for option in options if option not in (b"close", b"keep-alive")]
        # RFC 9112 9.6: who will close says so; 9.3: an HTTP/1.0 client has to be told
        # that it may go on.
        if not self.keep_alive:
            options.append(b"close")
        elif request is not None and request.http_version == "1.0":
            options.append(b"keep-alive")
        return b"connection: " + b", ".join(options) + b"\r\n" if options else b""

    def _send_body(self, event: ResponseBody) -> bytes:
        if self._answering is not _EXPECT_BODY:
            raise _out_of_order(event, self._answering)
        frame = self._frame(event.data, event.more)
        if not event.more:
            self._answering = _DONE
        return frame

    def _frame(self, data: bytes, more: bool) -> bytes:
        length = self._length
        if length is _CHUNKED:
            return _chunk(data, more)
        if length is _UNTIL_CLOSE:
            return data
        # What an application writes in answer to HEAD is left out.
        if isinstance(length, _Length):
            return b""
        self._count(len(data), length, more)
        return data

    def _count(self, size: int, length: int, more: bool) -> None:
        # RFC 9110 8.6: a body of another length than was said would be read as the start
        # of the next response, or waited for without end.
        self._written += size
        if self._written > length or (not more and self._written < length):
            self._answering = _BROKEN
            self.keep_alive = False
            raise LocalProtocolError(
                f"The response said Content-Length: {length}, but its body has "
                f"{'at least ' if more else ''}{self._written} bytes. Send as many as "
                "were said, or no Content-Length."
            )


def _chunk(data: bytes, more: bool) -> bytes:
    # RFC 9112 7.1: an empty chunk would end the body.
    end = b"" if more else b"0\r\n\r\n"
    return b"%x\r\n%b\r\n%b" % (len(data), data, end) if data else end


def _status_line(status: int) -> bytes:
    # RFC 9112 4: the phrase may be empty, the space before it stays.
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def _sort(headers: list[Header]) -> tuple[list[bytes], list[bytes], list[Header]]:
    """Part headers into lengths, options of Connection, and all that only passes."""
    lengths: list[bytes] = []
    connection: list[bytes] = []
    passing: list[Header] = []
    try:
        for header in headers:
            name = header[0].lower()
            if name not in _FRAMING:
                passing.append(header)
            elif name == b"content-length":
                lengths.append(header[1])
            elif name == b"connection":
                connection.append(header[1])
            # How the body is coded for transfer is ours to choose: dropped.
    except (AttributeError, IndexError, TypeError):
        _write(headers)
        raise
    _write([(b"connection", value) for value in connection])
    return lengths, [option.lower() for option in list_items(connection)], passing


def _read_length(lengths: list[bytes]) -> int | None:
    if not lengths:
        return None
    if len(lengths) > 1 or not isinstance(lengths[0], bytes) or not lengths[0].isdigit():
        raise LocalProtocolError(
            f"Content-Length is given once, in decimal digits; got {shorten(lengths)}."
        )
    return int(lengths[0])


def _write(headers: Iterable[Header]) -> bytes:
    try:
        return write_fields(list(headers))
    except ValueError as error:
        raise LocalProtocolError(str(error)) from error


def _out_of_order(event: object, expected: _Answering) -> LocalProtocolError:
    return LocalProtocolError(f"Expected {expected.value}; got {shorten(event)}.")
