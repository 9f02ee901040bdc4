"""``python -m gateway.ctl`` is ``gatewayctl``."""

import sys

from gateway.ctl.main import main

if __name__ == "__main__":
    sys.exit(main())
