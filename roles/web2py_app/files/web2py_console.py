"""web2py's shell with the application's models: `db`, `auth` and what else they make are there.

    web2py-console /opt/web2py

What is changed in the database stays only after db.commit().
"""

import os
import sys


def main():
    home = sys.argv[1]
    # web2py finds itself by the working directory.
    os.chdir(home)
    sys.path.insert(0, home)
    import gluon.main  # noqa: F401 -- sets web2py up
    import web2py_shared
    from gluon.shell import run

    run(web2py_shared.Shared().application, plain=True, import_models=True)


if __name__ == "__main__":
    main()
