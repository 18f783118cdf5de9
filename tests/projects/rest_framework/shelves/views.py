from rest_framework.generics import RetrieveUpdateAPIView

from .models import Book
from .serializers import BookSerializer


class BookView(RetrieveUpdateAPIView):
    queryset = Book.objects.all()
    serializer_class = BookSerializer
    authentication_classes = []
    permission_classes = []
