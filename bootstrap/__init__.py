"""What `make` installs: Terraform, a Docker engine, the distribution's packages for them, and `ab` for load tests.

Plain commands, each a no-op when there is nothing to do::

    python -m bootstrap.terraform
    python -m bootstrap.provider_mirror
    python -m bootstrap.docker_engine
    python -m bootstrap.load_tools
    python -m bootstrap.run_tests [pytest's arguments]
"""
