from django.db import models


class Job(models.Model):
    kind = models.CharField(max_length=20)
    text = models.TextField()
    result = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
