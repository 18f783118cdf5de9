from django.conf import settings
from django.db import models


class Room(models.Model):
    slug = models.SlugField(unique=True)


class Message(models.Model):
    room = models.ForeignKey(Room, on_delete=models.CASCADE)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    text = models.TextField()
    sent = models.DateTimeField(auto_now_add=True)
    # Chosen by the page. It sends a message again when the connection broke
    # before our answer; the constraint makes sure that it is stored once.
    key = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["room", "author", "key"], name="sent_once")]

    def as_json(self):
        return {
            "id": self.id,
            "author": self.author.username,
            "name": self.author.first_name or self.author.username,
            "text": self.text,
            "sent": self.sent.isoformat(),
        }
