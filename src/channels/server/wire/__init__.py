"""The wire cores: bytes in, events out; events in, bytes out.

Nothing here owns a socket, reads a clock or waits. Each core takes what has
arrived with `receive_data(bytes)`, hands out what it means with `next_event()`,
and turns what is to be said into bytes. That no event is ready yet, and that
none may follow for now, are values (`NEED_DATA`, `PAUSED`), so the caller's loop
has no exceptions in its normal course.
"""
