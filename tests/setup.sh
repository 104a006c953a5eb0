#!/bin/sh
# Create the environment and install the project with its dev extras; say what is done; do nothing when nothing changed.
set -eu
python=$1
venv=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: Python 3.11 or newer is needed, got $("$python" --version 2>&1); name one with make PYTHON=python3.12" >&2
    exit 1
}
stamp="$venv/installed"
want=$(cksum <pyproject.toml)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$want" ]; then
    echo "setup: $venv is up to date"
else
    echo "setup: creating $venv"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    echo "setup: installing the project with its dev extras (a few minutes the first time)"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check -e '.[dev]'
    echo "$want" >"$stamp"
fi

# OpenCV's wheel needs the system's libGL, which a bare Debian lacks; the browser drives the tests of the pages.
apt_install() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing $* from Debian"
        { apt-get install -y -qq --no-install-recommends "$@" || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }; } >/dev/null
    else
        echo "setup: please install $* with your system's package manager" >&2
        return 1
    fi
}
"$venv/bin/python" -c 'import cv2' 2>/dev/null || apt_install libgl1 libglib2.0-0
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    apt_install chromium || echo "setup: without chromium the tests of the pages are skipped"
echo "setup: done"
