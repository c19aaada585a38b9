"""Quart: static roots in front of an app (`extension`), and answers for its views (`views`)."""

from asyncstatic.serve.quart.extension import AsyncStatic, static_tag, static_url
from asyncstatic.serve.quart.views import send_file, send_from_directory

__all__ = ["AsyncStatic", "send_file", "send_from_directory", "static_tag", "static_url"]
