"""``python -m clickseg``: the command line without the installed script."""

from clickseg.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
