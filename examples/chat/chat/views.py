"""Plain Django views: pages are best served the ordinary way."""

from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.text import slugify

from .models import Room


@login_required
def lobby(request):
    context = {"me": request.user}
    if request.method == "POST":
        slug = slugify(request.POST.get("name", ""))[:50]
        if slug:
            Room.objects.get_or_create(slug=slug)
            return redirect("room", slug)
        context["error"] = "The name of a room needs letters from a to z, or digits."
    context["rooms"] = Room.objects.annotate(latest=Max("message__sent")).order_by(
        "-latest", "slug"
    )
    return render(request, "chat/lobby.html", context)


@login_required
def room(request, slug):
    found = get_object_or_404(Room, slug=slug)
    return render(request, "chat/room.html", {"me": request.user, "room": found})
