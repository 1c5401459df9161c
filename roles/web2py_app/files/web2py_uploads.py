"""Put files from an application's directory `uploads` where all hosts of a fleet have their uploads.

web2py-uploads --web2py=/opt/web2py uploads.tar.gz      made with: tar czf uploads.tar.gz -C applications/NAME uploads
web2py-uploads --web2py=/opt/web2py --from-database     those that were kept there until they are in S3

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
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("archive", type=os.path.abspath, nargs="?")
    source.add_argument("--from-database", action="store_true")
    options = parser.parse_args()
    # web2py finds itself by the working directory.
    os.chdir(options.web2py)
    sys.path.insert(0, options.web2py)
    import web2py_shared
    import web2py_shared_database
    import web2py_shared_uploads

    shared = web2py_shared.Shared()
    uploads = shared.uploads()
    if uploads is None:
        raise SystemExit("uploads are files of each host: web2py_app_uploads")
    others = []
    try:
        if options.from_database:
            stored, known = copy(web2py_shared_uploads.Uploads(shared.application, shared.database), uploads)
        else:
            stored, known, others = store(uploads, options.archive)
    except web2py_shared_database.UnavailableError as error:
        raise SystemExit(f"what keeps uploads does not answer: {error}") from None
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


def copy(source, uploads):
    """How many uploads were copied from the one to the other, and how many were there already."""
    stored, known = 0, 0
    for name in source.names():
        if uploads.exists(name) and size(uploads, name) == size(source, name):
            known += 1
            continue
        with source.open(name) as content, uploads.open(name, "wb") as target:
            shutil.copyfileobj(content, target)
        stored += 1
    return stored, known


def size(uploads, name):
    with uploads.open(name) as content:
        return content.raw.size


if __name__ == "__main__":
    main()
