"""Sessions: clicks one after another, each of which runs only the windows that it touches."""
