"""Starts a validation worker: ``python -m aimatrix.validation JOB RESULT``.

In a file that nothing imports, so that no module is loaded twice, as itself and as ``__main__``.
"""

import sys

from aimatrix.validation.worker import main

main(sys.argv[1], sys.argv[2])
