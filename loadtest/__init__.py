"""Load tests that end with a verdict: scenarios, what sends the requests, what is sampled beside them, the report.

Started by `make loadtest`, or `python -m loadtest run SCENARIO` once `playbooks/loadtest.yml` has described the fleet.
"""
