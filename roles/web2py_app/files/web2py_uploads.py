"""Put files from an application's directory `uploads` into its database, where all hosts of a fleet have their uploads.

web2py-uploads --web2py=/opt/web2py uploads.tar.gz      made with: tar czf uploads.tar.gz -C applications/NAME uploads

A file's name says which table's and field's it is, and the record has that name. A file that is there already is left
as it is, so a run that was interrupted can be repeated.
"""

import argparse
import os
import re
import shutil
import sys
import tarfile


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--web2py", required=True, help="directory of web2py")
    parser.add_argument("archive", type=os.path.abspath)
    options = parser.parse_args()
    # web2py finds itself by the working directory.
    os.chdir(options.web2py)
    sys.path.insert(0, options.web2py)
    import web2py_shared
    import web2py_shared_database
    import web2py_shared_uploads

    shared = web2py_shared.Shared()
    if not shared.has("uploads", "database"):
        raise SystemExit("uploads are not kept in the database: web2py_app_uploads")
    uploads = web2py_shared_uploads.Uploads(shared.application, shared.database)
    try:
        stored, known, others = store(uploads, options.archive)
    except web2py_shared_database.UnavailableError as error:
        raise SystemExit(f"the database does not answer: {error}") from None
    except (OSError, tarfile.TarError) as error:
        raise SystemExit(f"{options.archive} can't be read: {error}") from None
    print(f"{stored} uploads stored, {known} were there already")
    for path in others:
        print(f"left out, for its name is not one that web2py gives to uploads: {path}")


def store(uploads, archive):
    """How many uploads were stored, how many were there already, and the paths of those that are none."""
    from pydal.helpers.regex import REGEX_UPLOAD_PATTERN

    stored, known, others = 0, 0, []
    with tarfile.open(archive) as packed:
        for member in packed:
            name = os.path.basename(member.name)
            if not member.isfile():
                continue
            if not re.fullmatch(REGEX_UPLOAD_PATTERN, name):
                others.append(member.name)
            elif uploads.exists(name) and size(uploads, name) == member.size:
                known += 1
            else:
                uploads.remove(name)  # What an interrupted run has left.
                with uploads.open(name, "wb") as content:
                    shutil.copyfileobj(packed.extractfile(member), content)
                stored += 1
    return stored, known, others


def size(uploads, name):
    with uploads.open(name) as content:
        return content.raw.size


if __name__ == "__main__":
    main()
