"""`python -m gpunn`, the same as `gpunn`."""

import sys

from gpunn.cli import main

sys.exit(main())
