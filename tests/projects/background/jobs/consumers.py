import asyncio

from asgiref.sync import async_to_sync

from channels.consumer import AsyncConsumer, SyncConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .models import Job


class JobsConsumer(AsyncJsonWebsocketConsumer):
    """Gives jobs to the workers, and hears what became of everybody's."""

    groups = ["jobs"]

    async def receive_json(self, content):
        for text in content["texts"]:
            job = await Job.objects.acreate(kind=content["kind"], text=text)
            # Only this socket hears of the job it began itself.
            message = {"type": "work.on", "job": job.pk, "channel": self.channel_name}
            await self.channel_layer.send(f"{content['kind']}-words", message)

    async def job_done(self, event):
        await self.send_json({key: event[key] for key in ("kind", "text", "result")})


def done(job):
    return {"type": "job.done", "kind": job.kind, "text": job.text, "result": job.result}


class WordCounter(SyncConsumer):
    """A worker with blocking code."""

    def work_on(self, message):
        job = Job.objects.get(pk=message["job"])
        job.result = str(len(job.text.split()))
        job.save()
        if "group" in message:
            async_to_sync(self.channel_layer.group_send)(message["group"], done(job))
        else:
            async_to_sync(self.channel_layer.send)(message["channel"], done(job))


class WordReverser(AsyncConsumer):
    """A worker with asynchronous code."""

    async def work_on(self, message):
        job = await Job.objects.aget(pk=message["job"])
        await asyncio.sleep(0)
        job.result = " ".join(reversed(job.text.split()))
        await job.asave()
        if "group" in message:
            await self.channel_layer.group_send(message["group"], done(job))
        else:
            await self.channel_layer.send(message["channel"], done(job))
