from django.urls import path
from jobs import views

urlpatterns = [
    path("jobs/", views.jobs),
    path("jobs/<slug:kind>/", views.start),
]
