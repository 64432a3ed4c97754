"""python -m plusx: the command line."""

from plusx.cli.main import main

raise SystemExit(main())
