"""`python -m tests.mutation`: puts one small fault after the other into the guards and asks whether a test notices."""

import sys

from tests.mutation.runner import main

if __name__ == "__main__":
    sys.exit(main())
