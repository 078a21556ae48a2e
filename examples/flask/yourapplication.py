from flask import Flask, request

app = Flask(__name__)


@app.route("/")
@app.route("/<path:page>")
def show(page=""):
    return f'mount "{request.script_root}", path {request.path}\n', {"Content-Type": "text/plain"}


if __name__ == "__main__":
    app.run()  # python3 yourapplication.py: Flask's own server, to develop with
