"""Django over ASGI: its static files, collected with ``manage.py collectstatic``.

daphne django_app:app
"""

from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

from asyncstatic import StaticMiddleware


async def hello(request):
    return HttpResponse("hello from a view")


urlpatterns = [path("hello", hello)]
if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="an example")
SITE = Path(__file__).with_name("site")  # settings.STATIC_ROOT
app = StaticMiddleware(get_asgi_application(), SITE, prefix="/static")
