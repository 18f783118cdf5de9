from asgiref.sync import async_to_sync
from django.db.models.signals import post_save
from django.dispatch import receiver

from channels.layers import get_channel_layer

from .models import Note


def group_of(user_id):
    return f"notes.user-{user_id}"


@receiver(post_save, sender=Note)
def tell_recipient(sender, instance, created, **kwargs):
    if created:
        async_to_sync(get_channel_layer().group_send)(
            group_of(instance.recipient_id),
            {"type": "note.written", "id": instance.pk, "text": instance.text},
        )
