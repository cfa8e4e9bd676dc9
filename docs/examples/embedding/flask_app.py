"""A Flask application: `flask --app flask_app run --port 8000`."""

from flask import Flask, Response, request
from msgspec import json

from publishing import emit
from shop import ORDER_PLACED, Order

app = Flask(__name__)


@app.post("/orders")
def place_order() -> Response:
    emit(ORDER_PLACED, json.decode(request.get_data(), type=Order))
    return Response(status=202)
