"""Settings: what a user can choose, checked once, before the first request.

`Settings` says how one root is served. `Limits` says how much memory, how many threads and how much
time the roots of a process may take. Settings come from keyword arguments
(``StaticFiles("site", dotfiles=True, cache_bytes="64MiB")``) or from the environment
(``ASYNCSTATIC_DOTFILES=1``); the names of the fields are both.

==============  =================================================================
root            `Settings`: its fields, and its keyword arguments as types
limits          `Limits`
rules           `Rule`: response fields, media type and coding by a glob
fields          sets each field: the option, converted and checked, or the default
values          the check of each value, and its forms in a text
page_names      the check of the names of pages
paths           the forms in which a root can be named
presets         one word for several settings and rules
contradictions  settings that do not go together
==============  =================================================================
"""

from asyncstatic.settings.limits import Limits
from asyncstatic.settings.root import FIELDS, HINTS, Roots, Settings, checked
from asyncstatic.settings.rules import Rule
from asyncstatic.settings.values import SettingsError

__all__ = ["FIELDS", "HINTS", "Limits", "Roots", "Rule", "Settings", "SettingsError", "checked"]
