"""BlackSheep: a mounted ASGI app.

uvicorn blacksheep_app:app
"""

from pathlib import Path

from blacksheep import Application, get

from asyncstatic import StaticFiles

app = Application()
app.mount("/static", StaticFiles(Path(__file__).with_name("site")))


@get("/hello")
async def hello() -> str:
    return "hello from a route"
