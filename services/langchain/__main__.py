"""`python -m services.langchain --host H --port N`."""

import sys

from services.langchain.app import made
from services.langchain.settings import read
from services.web_service.program import run

if __name__ == "__main__":
    sys.exit(run("langchain", read, made))
