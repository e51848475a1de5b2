"""`python -m kiosk.door --safe`."""

import sys

from kiosk.door.door import main

sys.exit(main())
