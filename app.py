"""Start the app: `make run`, or `python app.py`."""

import sys

from nerveseg.ui import serve

if __name__ == "__main__":
    serve(on_ready=lambda address: sys.stdout.write(f"nerveseg: {address}  (Ctrl-C ends)\n"))
