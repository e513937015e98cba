"""Runs one case of one script: python run.py SCRIPT CASE. It succeeds if nothing is raised."""

import importlib
import sys

script, name = sys.argv[1:]
getattr(importlib.import_module(script), name)()
