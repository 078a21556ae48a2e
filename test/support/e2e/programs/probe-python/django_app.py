"""The probe in Django."""
import json

import core
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path, reverse
from django.views.decorators.http import condition

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of nothing",
)


def cookies(request):
    response = HttpResponse("set")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2; 3", httponly=True)
    response.set_cookie("c", "é")
    return response


def redirected(request):
    response = HttpResponseRedirect(reverse("target"))
    response.status_code = 303
    return response


def target(request):
    return HttpResponse("the target")


def got_json(request):
    return JsonResponse({"got": json.loads(request.body)})


def named(request, name):
    return HttpResponse(name)


@condition(etag_func=lambda request: '"one"')
def tagged(request):
    return HttpResponse("the same every time")


def probe(request):
    call = core.Call(
        environ=request.environ,
        method=request.method,
        mount=request.META["SCRIPT_NAME"],
        path=request.path_info,
        query=request.META["QUERY_STRING"],
        headers=request.headers.items(),
        read=request.read,
    )
    status, headers, body = core.respond(call)
    response = (HttpResponse if isinstance(body, bytes) else StreamingHttpResponse)(body, status=status)
    for name, value in headers:
        response[name] = value
    return response


urlpatterns = [
    path("framework/cookies", cookies),
    path("framework/redirect", redirected),
    path("target", target, name="target"),
    path("framework/json", got_json),
    path("framework/named/<path:name>", named),
    path("framework/tagged", tagged),
    re_path("", probe),
]
# As django.core.wsgi.get_wsgi_application() does.
import django  # noqa: E402

django.setup(set_prefix=False)
app = core.Observed(WSGIHandler())
