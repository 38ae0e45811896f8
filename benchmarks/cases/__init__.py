"""Cases: one file for each piece of work; every one is asked of every rival by the same calls.

``run(rival, n)``, or ``run(rival, n, variant)``, does the work in the measured process, checks
the values, and returns its measures by name. ``WARM`` says whether the rival's workers have carried
out tasks before. The harness adds ``process_seconds``: the wall time of the whole process, from
outside.
"""
