"""Configuration: from files, variables and keywords to the settings of a site.

`asyncstatic.settings` has the settings themselves. This room reads them from elsewhere.

==============  =================================================================
document        ``asyncstatic.toml``: reads it, and finds its mistakes
toml_lines      the line of each key in TOML
environment     ``ASYNCSTATIC_*`` variables; `variables` has their names
site            mounts, and which value counts: flag, variable, file or default
presets         one word for several settings and rules
page_names      the names of error pages
roots           the forms in which a root can be named
contradictions  settings that do not go together
schema          a JSON Schema, for editors
==============  =================================================================
"""
