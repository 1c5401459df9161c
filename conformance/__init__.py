"""How like moto, and where moto knows better like AWS, the local cloud answers: moto's own tests against both.

Its entry point is `python -m conformance`.
"""
