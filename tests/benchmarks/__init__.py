"""What the measurements say, and that what they measure works. How fast anything is, no test asks."""

import sys

from tests.packaging.environment import ROOT

# They are programs, and find each other beside themselves.
sys.path.append(str(ROOT / "benchmarks"))
