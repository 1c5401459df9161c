"""What `make` installs before Ansible can run: Terraform, a Docker engine, and the distribution's packages for them.

Plain commands, each a no-op when there is nothing to do::

    python -m bootstrap.terraform
    python -m bootstrap.docker_engine
    python -m bootstrap.run_tests [pytest's arguments]
"""
