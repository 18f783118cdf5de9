from django.urls import re_path

from . import consumers

websocket_urlpatterns = [
    re_path(r"ws/talk/(?P<room>\w+)/$", consumers.TalkConsumer.as_asgi()),
    re_path(r"ws/async-talk/(?P<room>\w+)/$", consumers.AsyncTalkConsumer.as_asgi()),
]
