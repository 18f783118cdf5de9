from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import strawberry
from django.contrib.auth import get_user_model
from strawberry.types import Info

Context = dict[str, object]


def scope_of(info: Info) -> dict:
    # Over HTTP the request holds the consumer; over a WebSocket it is the consumer.
    request = info.context["request"]
    return getattr(request, "consumer", request).scope


@strawberry.type
class Basket:
    fruit: str
    number: int = 1


@strawberry.type
class Query:
    @strawberry.field
    def basket(self, fruit: str) -> Basket:
        return Basket(fruit=fruit)

    @strawberry.field
    def users(self) -> int:
        return get_user_model().objects.count()

    @strawberry.field
    async def me(self, info: Info) -> str:
        user = scope_of(info).get("user")
        return "nobody was asked" if user is None else user.get_username() or "nobody"

    @strawberry.field
    def rotten(self) -> str:
        raise ValueError("This one is rotten.")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def harvest(self, info: Info, fruit: str, number: int) -> Basket:
        request = info.context["request"]
        layer = getattr(request, "consumer", request).channel_layer
        await layer.group_send(f"fruit.{fruit}", {"type": "harvest", "number": number})
        return Basket(fruit=fruit, number=number)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number
            await asyncio.sleep(0)

    @strawberry.subscription
    async def harvests(self, info: Info, fruit: str) -> AsyncGenerator[Basket, None]:
        consumer = info.context["ws"]
        async with consumer.listen_to_channel("harvest", groups=[f"fruit.{fruit}"]) as messages:
            yield Basket(fruit=fruit, number=0)
            async for message in messages:
                yield Basket(fruit=fruit, number=message["number"])

    @strawberry.subscription
    async def fails(self) -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("Nothing is left.")


schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)
