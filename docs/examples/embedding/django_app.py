"""A Django site in one file: `python django_app.py runserver --noreload 8000`."""

import sys
from functools import partial

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from msgspec import json

from publishing import emit
from shop import ORDER_PLACED, Order

settings.configure(
    SECRET_KEY="a secret of yours",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()


def place_order(request: HttpRequest) -> HttpResponse:
    order = json.decode(request.body, type=Order)
    with transaction.atomic():
        # Store the order here.
        # Emitted once the order is there for everybody, and not if that is rolled back.
        transaction.on_commit(partial(emit, ORDER_PLACED, order))
    return HttpResponse(status=202)


urlpatterns = [path("orders", place_order)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
