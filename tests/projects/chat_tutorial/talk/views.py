from django.shortcuts import render


def index(request):
    return render(request, "talk/index.html")


def room(request, room):
    return render(request, "talk/room.html", {"room": room})
