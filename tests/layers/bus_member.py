"""A process of the fault test: members of groups, and senders to all of them.

    python bus_member.py NAME BUS-FOLDER LEDGER-FOLDER MEMBERS GROUPS MESSAGES-A-SECOND

It says `ready`, then obeys lines on its input: `fork` (a child sends from its own
connection), `last SENDER...` (send a last message to each group, and say `done` when
every member has heard the last of each sender named), `end`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

from channels.exceptions import LayerUnavailable
from channels.layers.local import LocalChannelLayer
from channels.mailbox import LAYER, NOTICE, Mailbox

SENDERS = 2
# Every so many messages go to everybody.
TO_ALL = 25
CHILD_MESSAGES = 20


class Book:
    """This process's part of the ledger."""

    def __init__(self, folder: Path, name: str) -> None:
        # What is said before and after a sending must be there when the process is killed.
        self._sent = os.open(folder / f"{name}.sent", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._received: IO[str] = (folder / f"{name}.received").open("w")

    def begin(self, sender: str, number: int, group: str) -> None:
        os.write(self._sent, f"B {sender} {number} {time.monotonic()} {group}\n".encode())

    def end(self, sender: str, number: int) -> None:
        os.write(self._sent, f"E {sender} {number} {time.monotonic()}\n".encode())

    def note(self, *words: Any) -> None:
        print(*words, file=self._received)

    def close(self) -> None:
        self._received.close()


class Member:
    """One channel with a mailbox, as a consumer has them."""

    def __init__(self, name: str, groups: list[str], book: Book) -> None:
        self.name = name
        self._groups = groups
        self._book = book
        self._heard: set[tuple[str, str]] = set()
        self._news = asyncio.Event()

    async def join(self, layer: LocalChannelLayer) -> None:
        channel = await layer.new_channel()
        self._mailbox = Mailbox(asyncio.get_running_loop())
        self._mailbox.wants_notices = True
        layer.attach(channel, self._mailbox)
        for group in self._groups:
            await layer.group_add(group, channel)
        self._book.note("J", self.name, time.monotonic(), *self._groups)

    async def read(self) -> None:
        while True:
            entry = self._mailbox.take_nowait(time.monotonic)
            if entry is None:
                await self._mailbox.arrival()
                continue
            source, content, _ = entry
            if source is LAYER:
                sender, number = content["sender"], content["number"]
                self._book.note("R", self.name, sender, number, time.monotonic())
                if content["last"]:
                    self._heard.add((sender, content["group"]))
                    self._news.set()
            elif source is NOTICE:
                self._book.note("N", self.name, time.monotonic(), content)

    async def hear_last(self, senders: list[str]) -> None:
        wanted = {(sender, group) for sender in senders for group in self._groups}
        while not wanted <= self._heard:
            await self._news.wait()
            self._news.clear()


class Sender:
    """Sends at a steady pace, and does not catch up what a pause took from it."""

    def __init__(self, name: str, layer: LocalChannelLayer, groups: int, book: Book) -> None:
        self.name = name
        self._layer = layer
        self._groups = groups
        self._book = book
        self._number = 0

    async def run(self, interval: float) -> None:
        due = time.monotonic()
        while True:
            due = max(due + interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            number = self._number + 1
            group = "all" if number % TO_ALL == 0 else f"g{number % self._groups}"
            await self.send(group)

    async def send(self, group: str, last: bool = False) -> None:
        self._number += 1
        number = self._number
        self._book.begin(self.name, number, group)
        try:
            await self._layer.group_send(group, message(self.name, number, group, last))
        except LayerUnavailable as error:
            print(error, file=sys.stderr)
        else:
            self._book.end(self.name, number)


def message(sender: str, number: int, group: str, last: bool) -> dict[str, Any]:
    return {"type": "news", "sender": sender, "number": number, "group": group, "last": last}


def fork(layer: LocalChannelLayer, book: Book, name: str) -> None:
    """Have a child send from a thread of its own; return when it has ended."""
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return
    status = 1
    try:
        sender = f"{name}/child"
        for number in range(1, CHILD_MESSAGES + 1):
            book.begin(sender, number, "all")
            layer.sync.group_send("all", message(sender, number, "all", False))
            book.end(sender, number)
        layer.leave()
        status = 0
    finally:
        os._exit(status)


def say(word: str) -> None:
    print(word, flush=True)


async def main(
    name: str, bus: str, ledger: str, members: int, groups: int, a_second: float
) -> None:
    layer = LocalChannelLayer(directory=bus, name="faults")
    layer.serve()
    book = Book(Path(ledger), name)
    everybody = [
        Member(f"{name}/{index}", ["all", f"g{index % groups}"], book) for index in range(members)
    ]
    for member in everybody:
        await member.join(layer)
    reading = [asyncio.create_task(member.read()) for member in everybody]
    senders = [Sender(f"{name}/s{index}", layer, groups, book) for index in range(SENDERS)]
    say("ready")
    sending = [asyncio.create_task(sender.run(SENDERS / a_second)) for sender in senders]
    while True:
        command, *words = (await asyncio.to_thread(sys.stdin.readline)).split() or ["end"]
        if command == "fork":
            await asyncio.to_thread(fork, layer, book, name)
            say("forked")
        elif command == "last":
            for task in sending:
                task.cancel()
            await asyncio.wait(sending)
            for sender in senders:
                for group in ["all", *(f"g{index}" for index in range(groups))]:
                    await sender.send(group, last=True)
            await asyncio.gather(*(member.hear_last(words) for member in everybody))
            say("done")
        else:
            break
    for task in reading:
        task.cancel()
    await asyncio.wait(reading)
    print(layer.statistics(), file=sys.stderr)
    book.close()
    await layer.close()


if __name__ == "__main__":
    logging.basicConfig(format=f"%(relativeCreated)d {sys.argv[1]} %(levelname)s %(message)s")
    program, *texts, member_count, group_count, rate = sys.argv
    asyncio.run(main(*texts, int(member_count), int(group_count), float(rate)))  # type: ignore[call-arg]
