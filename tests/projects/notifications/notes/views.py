import json

from django.contrib.auth import get_user_model, login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import BaseUserCreationForm
from django.http import JsonResponse
from django.shortcuts import aget_object_or_404, get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt

from .models import Note


def home(request):
    return JsonResponse(
        {"user": request.user.get_username(), "looked_at": request.session.get("looked_at", 0)}
    )


def join(request):
    form = BaseUserCreationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.save())
        return redirect("home")
    return render(request, "registration/join.html", {"form": form})


@csrf_exempt
@login_required
def send(request, username):
    recipient = get_object_or_404(get_user_model(), username=username)
    note = Note.objects.create(recipient=recipient, text=json.loads(request.body)["text"])
    return JsonResponse({"text": note.text}, status=201)


@csrf_exempt
async def asend(request, username):
    user = await request.auser()
    if not user.is_authenticated:
        return JsonResponse({"error": "Log in first."}, status=401)
    recipient = await aget_object_or_404(get_user_model(), username=username)
    note = await Note.objects.acreate(recipient=recipient, text=json.loads(request.body)["text"])
    return JsonResponse({"text": note.text}, status=201)
