"""How like moto, and where moto knows better like AWS, the local cloud is: what moto's own tests and Terraform say.

Its entry point is `python -m conformance`.
"""
