"""What every test can rely on, wherever the tests were started."""

import signal

# A shell starts background commands with SIGINT ignored, and all their children inherit that: no Ctrl-C could be tried.
signal.signal(signal.SIGINT, signal.default_int_handler)
