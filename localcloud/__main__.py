"""python -m localcloud up|down|status|logs|images"""

from __future__ import annotations

import sys

from localcloud.cli import main

sys.exit(main())
