#!/bin/sh
# Opens the quickstart in JupyterLab: in the browser where there is a display, else by its address.
set -eu
cd "$(dirname "$0")/.."

set -- notebooks/quickstart.ipynb
if [ -z "${BROWSER:-}${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && [ "$(uname)" != Darwin ]; then
  set -- "$@" --no-browser
fi
if [ "$(id -u)" = 0 ]; then
  set -- "$@" --allow-root
fi
# Neither news nor update checks: nothing leaves this machine.
exec .venv/bin/jupyter lab "$@" --LabApp.news_url=None \
  --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate
