"""Sessions: clicks one after another, each of which runs only the windows that it touches."""

from clickseg.incremental.session import Change, Session

__all__ = ["Change", "Session"]
