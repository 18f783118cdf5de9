from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from notes import views

urlpatterns = [
    path("", views.home, name="home"),
    path("join/", views.join, name="join"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("notes/<str:username>/", views.send, name="send"),
    path("async-notes/<str:username>/", views.asend, name="asend"),
]
