#!/usr/bin/env bash
# setup-chromium.sh - find a headless Chromium, or get one.
#
#   1. $WEFT_CHROMIUM, or one that is on the PATH             -> nothing to do
#   2. on a Debian machine: take `chromium-headless-shell` and what it needs from Debian's packages and unpack them into a
#      private prefix (nothing is installed system-wide)
#
# Idempotent: a second run finds the result and returns at once. It says something (on stderr) only when it does something.
# Last line on stdout is the program to start. Tests of web SDKs call this; the product never does.
#
# Settings (environment):
#   WEFT_CHROMIUM          the program to use
#   WEFT_CHROMIUM_PREFIX   where the private one goes     (default ~/.cache/weft-chromium)
set -euo pipefail

PREFIX=${WEFT_CHROMIUM_PREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/weft-chromium}
PACKAGE=chromium-headless-shell
say() { printf '[chromium] %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# ---- 1: what is there ------------------------------------------------------------------------
for candidate in ${WEFT_CHROMIUM:+"$WEFT_CHROMIUM"} chromium-headless-shell chromium chromium-browser google-chrome; do
  if found=$(command -v "$candidate"); then echo "$found"; exit 0; fi
done
[ -z "${WEFT_CHROMIUM:-}" ] || die "there is no program $WEFT_CHROMIUM"

# ---- 2: Debian's -----------------------------------------------------------------------------
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
  die "no Chromium on the PATH and no apt-get to get it by: install Chromium, or name it in WEFT_CHROMIUM"
mkdir -p "$(dirname "$PREFIX")"
exec 9>"$PREFIX.lock"; flock 9                       # two runs at once: the second waits, then finds .ready
if [ -f "$PREFIX/.ready" ]; then echo "$PREFIX/chromium"; exit 0; fi

candidate() { apt-cache policy "$PACKAGE" 2>/dev/null | awk '/Candidate:/{print $2}'; }
if [ -z "$(candidate)" ] || [ "$(candidate)" = "(none)" ]; then        # no list of packages yet, or an old one
  SUDO=; [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && SUDO=sudo; } || true
  say "apt-get update"; $SUDO apt-get update -qq >&2 || true
fi
VERSION=$(candidate)
[ -n "$VERSION" ] && [ "$VERSION" != "(none)" ] ||
  die "Debian has no $PACKAGE here (Debian 12 has it in its security updates): install Chromium, or name it in WEFT_CHROMIUM"

T0=$SECONDS
rm -rf "$PREFIX"; mkdir -p "$PREFIX/deb" "$PREFIX/root"
# exactly the packages that `apt-get install` would add, in matching versions
mapfile -t PACKAGES < <(apt-get install -s --no-install-recommends "$PACKAGE=$VERSION" |
                        awk '/^Inst /{v=$3; if (v ~ /^\[/) v=$4; gsub(/[()]/,"",v); print $2 "=" v}')
[ "${#PACKAGES[@]}" -gt 0 ] || die "apt-get would install nothing"
say "download and unpack $PACKAGE $VERSION and $((${#PACKAGES[@]} - 1)) packages that it needs"
( cd "$PREFIX/deb" && apt-get download -qq "${PACKAGES[@]}" 2> >(grep -v unsandboxed >&2) )
for deb in "$PREFIX"/deb/*.deb; do dpkg-deb -x "$deb" "$PREFIX/root"; done
rm -rf "$PREFIX/deb"
PROGRAM=$PREFIX/root/usr/lib/chromium/$PACKAGE
[ -x "$PROGRAM" ] || die "there is no program $PACKAGE in Debian's package"
LIBRARIES=$(find "$PREFIX/root" -name '*.so*' -exec dirname {} + | sort -u | paste -sd:)
FONTS=; [ -d /etc/fonts ] || FONTS="export FONTCONFIG_PATH='$PREFIX/root/etc/fonts'"
printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n%s\nexec "%s" "$@"\n' "$LIBRARIES" "$FONTS" "$PROGRAM" > "$PREFIX/chromium"
chmod +x "$PREFIX/chromium"
"$PREFIX/chromium" --version >&2 || die "it was unpacked and does not start"
touch "$PREFIX/.ready"
say "done in $((SECONDS-T0)) s, $(du -sm "$PREFIX" | cut -f1) MB on disk"
echo "$PREFIX/chromium"
