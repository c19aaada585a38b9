"""Configuration: from files, variables and keywords to the settings of a site.

`asyncstatic.settings` has the settings themselves, and checks them. This room reads them.

==============  =================================================================
document        ``asyncstatic.toml``: reads it, and finds its mistakes
toml_lines      the line of each key in TOML
environment     ``ASYNCSTATIC_*`` variables; `variables` has their names
site            mounts, and which value counts: flag, variable, file or default
==============  =================================================================
"""
