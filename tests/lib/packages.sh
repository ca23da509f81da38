# shellcheck shell=bash
# Installs Debian packages, but only those whose probe fails: where nothing is missing apt is never called.
#
#   source tests/lib/packages.sh
#   install_missing cmake=cmake libfmt-dev=fmt/core.h
#
# Each argument is PACKAGE=PROBE. A probe with a '/' is a header, looked for in the usual include
# directories (or a path, if it starts with '/'); any other is a command. An alternative probe may follow
# after a comma.

probe_found() {
  local probe directory
  for probe in ${1//,/ }; do
    case "$probe" in
      /*) if [ -e "$probe" ]; then return 0; fi ;;
      */*)
        for directory in /usr/include /usr/local/include; do
          if [ -e "$directory/$probe" ]; then return 0; fi
        done
        ;;
      *) if command -v "$probe" >/dev/null 2>&1; then return 0; fi ;;
    esac
  done
  return 1
}

install_missing() {
  local item missing=() as_root=()
  for item in "$@"; do
    if ! probe_found "${item#*=}"; then missing+=("${item%%=*}"); fi
  done
  if [ "${#missing[@]}" -eq 0 ]; then return 0; fi

  echo "installing ${missing[*]}"
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "error: missing and not installable here without apt-get: ${missing[*]}" >&2
    return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "error: not root and no sudo; have these installed: apt-get install ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# What building the library, the tests and the examples takes.
install_build_packages() {
  install_missing g++=g++ cmake=cmake ninja-build=ninja pkg-config=pkg-config \
    libasio-dev=asio/version.hpp libfmt-dev=fmt/core.h libcereal-dev=cereal/cereal.hpp \
    rapidjson-dev=rapidjson/document.h,cereal/external/rapidjson/document.h \
    doctest-dev=doctest/doctest.h libcpp-httplib-dev=/usr/include/httplib.h,/usr/local/include/httplib.h "$@"
}
