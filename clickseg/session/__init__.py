"""Sessions: a series is segmented click by click; each click runs only the windows that it touches."""
