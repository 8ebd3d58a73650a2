"""`python -m tests.chaos`: every proof about money at full length; exit code 1 if one fails."""

import sys

from tests.chaos.matrix import main

if __name__ == "__main__":
    sys.exit(main())
