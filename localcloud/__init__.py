"""AWS on this machine: the API answered by moto, the machines behind it run by Docker.

See README.md in this directory.
"""
