"""Hello in Flask, for `npm run bench -- --python`."""
from flask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return "hello world\n"
