"""The views of the served application, and the notes that consumers make for them to show.

A view or consumer that waits goes on once `/release/<key>/` was asked for.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from channels.layers import get_channel_layer

# Whoever waits for another request waits no longer than this.
PATIENCE = 20.0

seen: dict[str, list[Any]] = defaultdict(list)
released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def wait_released(key: str) -> None:
    async with asyncio.timeout(PATIENCE):
        await released[key].wait()


@csrf_exempt
def sync_view(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "query": request.GET.dict(),
            "length": len(request.body),
            "host": request.get_host().partition(":")[0],
            "client": request.META["REMOTE_ADDR"],
        }
    )


@csrf_exempt
async def async_view(request: HttpRequest) -> HttpResponse:
    return sync_view(request)


@csrf_exempt
async def body_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="application/octet-stream")


def failing_view(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a view, on purpose")


async def streaming_view(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"first,"
        await wait_released(request.GET["key"])
        yield b"second,"
        yield b"third"

    return StreamingHttpResponse(pieces())


async def release_view(request: HttpRequest, key: str) -> HttpResponse:
    released[key].set()
    return HttpResponse("released")


def seen_view(request: HttpRequest, key: str) -> HttpResponse:
    return JsonResponse(seen[key], safe=False)


def say_view(request: HttpRequest, room: str, text: str) -> HttpResponse:
    layer: Any = get_channel_layer()
    async_to_sync(layer.group_send)(room, {"type": "room.message", "said": text})
    return HttpResponse(str(os.getpid()))


def login_view(request: HttpRequest, name: str) -> HttpResponse:
    request.session["colour"] = "blue"
    login(request, get_user_model().objects.get(username=name))
    return HttpResponse("logged in")


def whoami_view(request: HttpRequest) -> HttpResponse:
    colour, user = request.session.get("colour"), request.user.get_username()
    return JsonResponse({"colour": colour, "user": user})


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("body/", body_view),
    path("failing/", failing_view),
    path("streamed/", streaming_view),
    path("release/<key>/", release_view),
    path("seen/<key>/", seen_view),
    path("say/<room>/<text>/", say_view),
    path("login/<name>/", login_view),
    path("whoami/", whoami_view),
]
