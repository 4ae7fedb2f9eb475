"""``python -m clickseg``: the ``clickseg`` command without its installed script."""

from clickseg.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
