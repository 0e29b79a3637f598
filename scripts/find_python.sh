#!/bin/sh
# Prints the path of a Python that can run kling_nb and make a virtual environment.
# It is a shell script because the first Python found may be too old to run ours.
# PYTHON=/path/to/python names one and only one.
set -eu

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

found=
for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
  path=$(command -v "$name" 2>/dev/null) || continue
  usable "$path" || continue
  if makes_venvs "$path"; then
    echo "$path"
    exit 0
  fi
  found=${found:-$path}
done

if [ -z "$found" ]; then
  echo "kling_nb needs Python 3.11 or newer, and none was found${PYTHON:+ at PYTHON=$PYTHON}." >&2
  echo "Here python3 is: $(python3 --version 2>&1 || true)" >&2
  echo "Install one (Debian 12: apt-get install python3-venv), or name it: make PYTHON=/path/to/python3.12 …" >&2
  exit 1
fi

# Debian and Ubuntu package venv apart from Python.
package=$("$found" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing $package …" >&2
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$package"; } >&2
  makes_venvs "$found" && { echo "$found"; exit 0; }
fi
echo "$found cannot make virtual environments. Install $package (sudo apt-get install $package) and try again." >&2
exit 1
