"""Run the command line: `python -m edge_app` does what `edge-app` does."""

import sys

from edge_app.cli import main

sys.exit(main())
