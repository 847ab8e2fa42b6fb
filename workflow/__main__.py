"""`python -m workflow new MY.yaml --folder DIR`: see `workflow.new`."""

import sys

from workflow.new import main

sys.exit(main())
