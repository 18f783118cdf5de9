from django.test import SimpleTestCase, TransactionTestCase
from orchard.asgi import application
from strawberry.channels.testing import GraphQLWebsocketCommunicator

HARVESTS = 'subscription { harvests(fruit: "pear") { number } }'
HARVEST = 'mutation { harvest(fruit: "pear", number: 9) { number } }'


def client(**options):
    return GraphQLWebsocketCommunicator(application, "/graphql", **options)


class SubscriptionTests(SimpleTestCase):
    async def test_a_subscription_to_its_end(self):
        async with client() as socket:
            came = [
                result.data async for result in socket.subscribe("subscription { count(to: 3) }")
            ]
        self.assertEqual(came, [{"count": 0}, {"count": 1}, {"count": 2}])

    async def test_the_older_protocol(self):
        async with client(protocol="graphql-ws") as socket:
            await socket.send_json_to(
                {"type": "start", "id": "1", "payload": {"query": "subscription { count(to: 1) }"}}
            )
            data = await socket.receive_json_from()
            self.assertEqual(data["payload"], {"data": {"count": 0}})
            self.assertEqual((await socket.receive_json_from())["type"], "complete")

    async def test_an_error(self):
        async with client() as socket:
            came = [result async for result in socket.subscribe("subscription { fails }")]
        self.assertEqual(came[0].data, {"fails": 1})
        self.assertEqual(came[-1].errors[0].message, "Nothing is left.")

    async def test_what_others_do_arrives(self):
        async with client() as listener, client() as farmer:
            harvests = listener.subscribe(HARVESTS)
            self.assertEqual((await anext(harvests)).data, {"harvests": {"number": 0}})
            async for result in farmer.subscribe(HARVEST):
                self.assertEqual(result.data, {"harvest": {"number": 9}})
            self.assertEqual((await anext(harvests)).data, {"harvests": {"number": 9}})
            await harvests.aclose()


class QueryTests(TransactionTestCase):
    async def test_a_query_over_a_socket(self):
        query = '{ basket(fruit: "plum") { fruit number } me }'
        async with client() as socket:
            async for result in socket.subscribe(query):
                self.assertEqual(
                    result.data,
                    {"basket": {"fruit": "plum", "number": 1}, "me": "nobody was asked"},
                )
