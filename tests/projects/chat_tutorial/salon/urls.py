from django.urls import include, path

urlpatterns = [
    path("talk/", include("talk.urls")),
]
