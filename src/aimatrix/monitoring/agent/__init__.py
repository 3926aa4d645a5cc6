"""The code that runs inside the monitored application, in whichever Python that has.

Loaded without aimatrix under the name ``_aimatrix_agent``, so: Python 3.9 or newer, standard
library, the application's own torch, relative imports only. Whatever fails in here is told in one
line on standard error, and the application runs on.
"""
