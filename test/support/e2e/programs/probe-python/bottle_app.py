"""The probe in Bottle."""
import core
from bottle import Bottle, HTTPResponse, redirect, request, response

bottle = Bottle()


@bottle.get("/framework/cookies")
def cookies():
    response.set_cookie("a", "1")
    response.set_cookie("b", "2; 3", httponly=True)
    response.set_cookie("c", "3", path="/")
    return "set"


@bottle.get("/framework/redirect")
def redirected():
    redirect(request.script_name + "target", 303)


@bottle.post("/framework/json")
def json():
    return {"got": request.json}


@bottle.get("/framework/named/<name:path>")
def named(name):
    return name


@bottle.route("/", method="ANY")
@bottle.route("/<path:path>", method="ANY")
def probe(path=""):
    call = core.Call(
        environ=request.environ,
        method=request.method,
        # Bottle writes it with a slash at its end.
        mount=request.script_name.rstrip("/"),
        path=request.path,
        query=request.query_string,
        headers=request.headers.items(),
        read=request.body.read,
    )
    status, headers, body = core.respond(call)
    answer = HTTPResponse(body, status)
    for name, value in headers:
        answer.add_header(name, value)
    return answer


app = core.Observed(bottle)
