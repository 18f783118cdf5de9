from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("about/", lambda request: HttpResponse("An orchard."))]
