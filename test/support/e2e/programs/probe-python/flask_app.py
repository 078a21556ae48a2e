"""The probe in Flask."""
import core
from flask import Flask, Response, jsonify, redirect, request, url_for
from werkzeug.routing import Rule

flask = Flask(__name__)
# What the worker makes of an exception is to be seen, not Flask's page.
flask.config["PROPAGATE_EXCEPTIONS"] = True
# Else Flask redirects /a//b/ to /a/b/.
flask.url_map.merge_slashes = False


@flask.get("/framework/cookies")
def cookies():
    response = Response("set")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2; 3", httponly=True)
    response.set_cookie("c", "é")
    return response


@flask.get("/framework/redirect")
def redirected():
    return redirect(url_for("target"), 303)


@flask.get("/target")
def target():
    return "the target"


@flask.post("/framework/json")
def json():
    return jsonify(got=request.get_json())


@flask.get("/framework/named/<path:name>")
def named(name):
    return name


@flask.get("/framework/tagged")
def tagged():
    response = Response("the same every time")
    response.add_etag()
    return response.make_conditional(request)


# Rules of their own, for methods of every name.
flask.url_map.add(Rule("/", endpoint="probe"))
flask.url_map.add(Rule("/<path:path>", endpoint="probe"))


@flask.endpoint("probe")
def probe(path=""):
    call = core.Call(
        environ=request.environ,
        method=request.method,
        mount=request.script_root,
        path=request.path,
        query=request.environ["QUERY_STRING"],
        headers=request.headers.items(),
        read=request.stream.read,
    )
    status, headers, body = core.respond(call)
    response = Response(body, status)
    for name, _ in headers:
        response.headers.remove(name)
    for name, value in headers:
        response.headers.add(name, value)
    return response


app = core.Observed(flask)
