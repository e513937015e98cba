"""A small Django site: its own login form with the middleware against forgery, sessions, pages. It knows nothing of sidegate."""

import os
import sys

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "localhost 127.0.0.1").split(),
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", "data/site.db")}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                ],
                "loaders": [("django.template.loaders.locmem.Loader", {"form.html": """<!doctype html>
<title>{{ title }}</title>
<h1>{{ title }}</h1>
<form method="post">{% csrf_token %}<input type="hidden" name="next" value="{{ next }}">{{ form.as_p }}<button>Send</button></form>
"""})],
            },
        }
    ],
    LOGIN_URL="/accounts/login/",
    LOGIN_REDIRECT_URL="/",
    LOGOUT_REDIRECT_URL="/goodbye",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from django.contrib.auth import views  # noqa: E402  (only after the set-up)
from django.contrib.auth.decorators import login_required  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402


@login_required
def home(request):
    token = get_token(request)
    return HttpResponse(
        f"""<!doctype html><title>Home</title><h1>Hello, {request.user.username}</h1>
<p><a href="/accounts/password/">New password</a></p>
<form method="post" action="/accounts/logout/"><input type="hidden" name="csrfmiddlewaretoken" value="{token}">
<button>Sign out</button></form>"""
    )


def goodbye(request):
    return HttpResponse("<!doctype html><title>Goodbye</title><p>You have signed out. <a href='/'>Sign in</a>")


urlpatterns = [
    path("", home),
    path("goodbye", goodbye),
    path("accounts/login/", views.LoginView.as_view(template_name="form.html", extra_context={"title": "Sign in"})),
    path("accounts/logout/", views.LogoutView.as_view()),
    path(
        "accounts/password/",
        login_required(
            views.PasswordChangeView.as_view(
                template_name="form.html", extra_context={"title": "New password"}, success_url="/?changed"
            )
        ),
    ),
]


def add_people():
    """`ann` and `bob`, unless they are there."""
    from django.contrib.auth.models import User

    for name in ["ann", "bob"]:
        if not User.objects.filter(username=name).exists():
            User.objects.create_user(name, password="correct horse battery")


if __name__ == "__main__":
    from django.core.management import call_command, execute_from_command_line

    os.makedirs("data", exist_ok=True)
    call_command("migrate", verbosity=0, run_syncdb=True)
    add_people()
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", *(sys.argv[1:] or ["127.0.0.1:3000"])])
