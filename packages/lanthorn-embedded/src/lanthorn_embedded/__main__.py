"""`python -m lanthorn_embedded` is `lanthorn`."""

from __future__ import annotations

import sys

from lanthorn_embedded.cli import main

sys.exit(main())
