"""Clean URLs: one URL for each page, with or without a slash at its end.

A page is an index, or ``about.html`` under the name ``about``. Its URL has two forms. The policy
(`Settings.trailing_slash`) chooses one; the other one, and the name of the file, are redirected to it.
Where ``about.html`` and ``about/index.html`` both exist, ``/about`` is the first and ``/about/`` the second.

A redirect is made only where its target is this very file, so it never leads to another page or in
a circle.
"""

from __future__ import annotations

from asyncstatic.files.candidates import is_stored
from asyncstatic.files.dependency import lasting
from asyncstatic.files.root import Segments
from asyncstatic.files.select import Selection
from asyncstatic.files.sidecar import PAGE_SUFFIX
from asyncstatic.files.source import Found, Opened
from asyncstatic.http.model import Absence, DirectoryRedirect, Lookup


class CleanSelection(Selection):
    """Selects as `Selection` does, and marks what is to be redirected (`moved_to`).

    Attributes of the settings that are used besides: `clean_urls` and `trailing_slash`.
    """

    def find_or_missing(self, lookup: Lookup) -> Found:
        """Return the file or page of a path; MISSING where there is none."""
        if not lookup.segments:  # the root has one URL
            return super().find_or_missing(lookup)
        return self._with_slash(lookup) if lookup.directory else self._without_slash(lookup)

    def _without_slash(self, lookup: Lookup) -> Found:
        """Return a file by its name, else the page, else the index where none has a slash."""
        found = super().find_or_missing(lookup)
        if isinstance(found, Opened):
            return _moved(found, self._reference(lookup, found))
        if isinstance(found, Absence) and found is not Absence.MISSING:
            return found
        page = self._page(lookup)
        if isinstance(page, Opened):
            return _moved(page, f"./{lookup.segments[-1]}/" if self._always else "")
        if isinstance(found, DirectoryRedirect) and self._never:
            stamp = self.tree.stamp(lookup.segments[:-1])  # a page beside it would count more
            index = super().find_or_missing(lookup._replace(directory=True))
            if isinstance(index, Opened) and index.dependencies:
                index.dependencies = lasting((*index.dependencies, stamp))
                *directory, name = lookup.segments
                self._be_certain(index, (*directory, name + PAGE_SUFFIX))
            return index
        return found

    def _with_slash(self, lookup: Lookup) -> Found:
        """Return the index of a directory, else the page where all have a slash."""
        name = lookup.segments[-1]
        found = super().find_or_missing(lookup)
        if isinstance(found, Opened):
            return _moved(found, f"../{name}" if self._never else "")
        page = self._page(lookup) if found is Absence.MISSING else None
        if isinstance(page, Opened):
            return _moved(page, "" if self._always else f"../{name}")
        return found

    def _page(self, lookup: Lookup) -> Found:
        """Return ``about.html`` for ``about``."""
        *directory, name = lookup.segments
        segments = (*directory, name + PAGE_SUFFIX)
        if not self._settings.clean_urls or not self._allowed(segments):
            return Absence.MISSING
        below = Lookup(segments, directory=False, codings=lookup.codings)
        found = super().find_or_missing(below)
        if isinstance(found, Opened):
            self._be_certain(found, lookup.segments)
            if segments[-1] in self._settings.index:
                reference = self._reference(below, found)
                if reference and lookup.directory:  # seen from one directory below
                    reference = "../" + reference.removeprefix("./")
                return _moved(found, reference)
        return found

    def _reference(self, lookup: Lookup, found: Opened) -> str:
        """Return the URL of the page that the file of a name is; "" if it is not to be redirected.

        Closes the file if that cannot be told.
        """
        try:
            return self._reference_of_file(lookup, found)
        except BaseException:
            found.close()
            raise

    def _reference_of_file(self, lookup: Lookup, found: Opened) -> str:
        *directory, name = lookup.segments
        clean = (*directory, name.removesuffix(PAGE_SUFFIX))
        if not self._settings.clean_urls:
            return ""
        if name in self._settings.index:
            found.dependencies = ()  # other names decide as well
            return self._reference_of_index(lookup)
        if (
            not name.endswith(PAGE_SUFFIX)
            or clean[-1] in ("", ".", "..")
            or not self._allowed(clean)
        ):
            return ""
        self._be_certain(found, clean)
        other = super().find_or_missing(Lookup(clean, self._always, lookup.codings))
        if isinstance(other, Opened):
            other.close()
            return ""
        return f"./{clean[-1]}" + "/" * self._always

    def _reference_of_index(self, lookup: Lookup) -> str:
        directory = lookup.segments[:-1]
        if not self._is_index(lookup):
            return ""
        if not directory or not self._never:
            return "./"
        page = self._page(lookup._replace(segments=directory))
        if isinstance(page, Opened):  # which has the URL without a slash
            page.close()
            return ""
        return f"../{directory[-1]}"

    def _is_index(self, lookup: Lookup) -> bool:
        """Tell whether a file is the index that its directory is represented by."""
        index = super().find_or_missing(
            lookup._replace(segments=lookup.segments[:-1], directory=True)
        )
        if not isinstance(index, Opened):
            return False
        index.close()
        return index.representation.segments == lookup.segments

    def _be_certain(self, found: Opened, clean: Segments) -> None:
        """Do not cache a result that an existing name may change: a directory or a broken link."""
        if is_stored(self.tree.path_of(clean)):
            found.dependencies = ()

    @property
    def _always(self) -> bool:
        return self._settings.trailing_slash == "always"

    @property
    def _never(self) -> bool:
        return self._settings.trailing_slash == "never"


def _moved(found: Opened, reference: str) -> Opened:
    """Mark a file as moved to a URL, unless it is marked already or the reference is empty."""
    facts = found.representation
    found.representation = facts._replace(moved_to=facts.moved_to or reference)
    return found
