#!/bin/sh
# Deploy to the local cloud, and stay: its process lives as long as this container. Arguments go to ansible-playbook.
set -e
ansible-playbook site.yml "$@"
echo 'The local cloud runs until this container is stopped; in another terminal: docker exec -it web2py bash'
# A signal ends it, as it isn't process 1: the container has the machine's process ids.
exec sleep infinity
