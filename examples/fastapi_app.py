"""FastAPI: two static roots in front of the API.

uvicorn fastapi_app:app
"""

from pathlib import Path

from fastapi import FastAPI

from asyncstatic import StaticFiles, StaticMiddleware

SITE = Path(__file__).with_name("site")

app = FastAPI()
app.mount("/static", StaticFiles(SITE))
app.add_middleware(StaticMiddleware, root={"/site": SITE, "/docs/files": SITE})


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "from a route"}
