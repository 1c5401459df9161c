# shellcheck shell=bash
# For scripts and the Makefile, which read it with `source`: fail WHAT LOOK TYPE ends with the message of three parts, what failed,
# where to look and what to type. bootstrap/report.py says it in the same words.
fail() {
    printf '\nERROR:   %s\nLook at: %s\nType:    %s\n' "${@//$'\n'/$'\n'         }" >&2
    exit 1
}
