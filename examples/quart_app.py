"""Quart: one line for the static root; a download that a view protects.

hypercorn quart_app:app
"""

from quart import Quart, abort, request

from asyncstatic import AsyncStatic, send_from_directory

app = Quart(__name__, static_folder=None)
AsyncStatic(app, "site")


@app.route("/")
async def index():
    return '<a href="/static/">site</a>'


@app.route("/downloads/<path:name>")
async def download(name):
    if request.args.get("user") != "ada":
        abort(403)
    return await send_from_directory("site", name, as_attachment=True)
