"""`python -m services.api_adapter --host H --port N`."""

import sys

from services.api_adapter.serve import made
from services.api_adapter.settings import read
from services.web_service.program import run

if __name__ == "__main__":
    sys.exit(run("api-adapter", read, made))
