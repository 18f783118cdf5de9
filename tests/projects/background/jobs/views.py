from asgiref.sync import async_to_sync
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt

from channels.layers import get_channel_layer

from .models import Job


def jobs(request):
    return JsonResponse({"jobs": list(Job.objects.values_list("kind", "text", "result"))})


@csrf_exempt
def start(request, kind):
    job = Job.objects.create(kind=kind, text=request.body.decode())
    message = {"type": "work.on", "job": job.pk, "group": "jobs"}
    async_to_sync(get_channel_layer().send)(f"{kind}-words", message)
    return JsonResponse({"started": kind}, status=202)
