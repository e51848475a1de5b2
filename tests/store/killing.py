"""A child that is killed as it comes to a line of some modules: what a power cut at that line leaves."""

from __future__ import annotations

TRACER = """
import os, signal, sys

def killed_at(line, *modules):
    left, files = line, {module.__file__ for module in modules}

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
"""
"""The beginning of such a child's program: `killed_at` counts lines from where it is called."""
