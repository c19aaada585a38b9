"""Reason phrases of RFC 9110 §15. Python has the same table from 3.13 on."""

from __future__ import annotations

from http import HTTPStatus

_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
PHRASES = {status.value: _RENAMED.get(status.value, status.phrase) for status in HTTPStatus}
