"""web2py's shell with the application's models: `db`, `auth` and what else they make are there.

    web2py-console /opt/web2py

What is changed in the database stays only after db.commit().
"""

import functools
import os
import readline
import rlcompleter
import sys


def complete(_directory, environment):
    """Without web2py's file of what was typed before: a release can't be written to."""
    readline.parse_and_bind("tab: complete")
    readline.set_completer(rlcompleter.Completer(environment).complete)


def as_a_shell(env):
    """web2py's own start says to the models that this is a shell."""

    @functools.wraps(env)
    def make(*arguments, extra_request=(), **named):
        return env(*arguments, extra_request={**dict(extra_request), "is_shell": True}, **named)

    return make


def main():
    home = sys.argv[1]
    # web2py finds itself by the working directory.
    os.chdir(home)
    sys.path.insert(0, home)
    import gluon.main  # noqa: F401 -- sets web2py up
    import web2py_shared
    from gluon import shell

    shared = web2py_shared.Shared()
    shared.apply()  # uploads are where visitors' are
    shared.be_asked_by_name()
    shell.env = as_a_shell(shell.env)
    shell.enable_autocomplete_and_history = complete
    shell.run(shared.application, plain=True, import_models=True)


if __name__ == "__main__":
    main()
