#!/bin/sh
# Installs fly-vault for one user or for all, or another version of it in its place:
#
#   sh install.sh [--prefix DIR] [--version VERSION] [--require-signature]
#
# It fetches a release, checks signature and checksum, tries the program, and only then gives it its name, in
# one step. Whatever goes wrong, what was there before is still there, and nothing half done beside it.
set -eu

# Where releases are published; for tests and mirrors.
releases=${FLY_VAULT_RELEASES:-https://github.com/fly-vault/fly-vault/releases}
# Whose signature a release must bear: `make release` writes the public key in here.
key=${FLY_VAULT_RELEASE_KEY:-}

usage='usage: install.sh [--prefix DIR] [--version VERSION] [--require-signature]

  --prefix DIR         install into DIR/bin (default: /usr/local for root, else ~/.local)
  --version VERSION    that version (default: the newest)
  --require-signature  refuse where the signature cannot be checked (no key, or no ssh-keygen of 8.1 or newer)

FLY_VAULT_RELEASES names another place of releases, FLY_VAULT_RELEASE_KEY another key.'

# All of it is read before any of it runs: a download of this script that breaks off does nothing.
main() {
  prefix='' version='' require_signature=no scratch='' stage=''
  read_words "$@"
  platform=$(platform_name)
  need tar; need gzip; need mktemp; need readlink
  if command -v sha256sum >/dev/null; then hasher=sha256sum; else need shasum; hasher='shasum -a 256'; fi
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  scratch=$(mktemp -d) || fail "there is no room for a download" "mktemp -d failed" "set TMPDIR to a folder of yours"

  bin=$prefix/bin
  find_release
  fetch_program
  check_place
  put_in_place
  say "fly-vault $version is installed in $bin"
  case :$PATH: in
    *:"$bin":*) ;;
    *) say "put that folder into PATH:  export PATH=\"$bin:\$PATH\"" ;;
  esac
}

read_words() {
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix | --version)
        [ $# -ge 2 ] || misused "$1 needs a value"
        if [ "$1" = --prefix ]; then prefix=$2; else version=${2#v}; fi
        shift
        ;;
      --prefix=*) prefix=${1#*=} ;;
      --version=*) version=${1#*=} version=${version#v} ;;
      --require-signature) require_signature=yes ;;
      -h | --help) printf '%s\n' "$usage"; exit 0 ;;
      *) misused "unknown word \"$1\"" ;;
    esac
    shift
  done
  case $version in
    *[!0-9a-z.-]*) misused "--version must be one like 0.1.0, not \"$version\"" ;;
  esac
  if [ -z "$prefix" ]; then
    if [ "$(id -u)" -eq 0 ]; then prefix=/usr/local; else prefix=${HOME:?}/.local; fi
  fi
  case $prefix in /*) ;; *) prefix=$(pwd)/$prefix ;; esac
}

# As releases name systems.
platform_name() {
  case $(uname -s) in
    Linux) system=linux ;;
    Darwin) system=darwin ;;
    *) fail "fly-vault is not made for this system" "it is $(uname -s)" "build it from source:  make build" ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "fly-vault is not made for this processor" "it is $(uname -m)" "build it from source:  make build" ;;
  esac
  # A shell under Rosetta says x86_64 on an ARM Mac.
  if [ "$system" = darwin ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then arch=arm64; fi
  printf '%s\n' "$system-$arch"
}

# Sets version and archive, from a list that is signed.
find_release() {
  named=$version
  if [ -n "$named" ]; then place=$releases/download/v$named; else place=$releases/latest/download; fi
  fetch "$place/SHA256SUMS" "$scratch/SHA256SUMS" 65536
  archive=$(sed -n "s/^[0-9a-f]\{64\}  \(fly-vault-[0-9][0-9a-z.-]*-$platform\.tar\.gz\)\$/\1/p" "$scratch/SHA256SUMS")
  case $archive in
    '') fail "the release has nothing for $platform" "$place/SHA256SUMS lists none" "build it from source:  make build" ;;
    *[!0-9a-z._-]*) fail "the list of the release's files cannot be understood" "$place/SHA256SUMS names several for $platform" "tell whoever publishes the releases" ;;
  esac
  found=${archive#fly-vault-} found=${found%-"$platform".tar.gz}
  if [ -n "$named" ] && [ "$found" != "$named" ]; then
    fail "what is there as $named is another version" "its files are those of $found" "do not install it; tell whoever publishes the releases"
  fi
  version=$found
  # From here on of that version: the newest may be another one by now.
  place=$releases/download/v$version
  check_signature
  [ -n "$named" ] || check_newer
}

# Somebody may serve an old release as the newest, for a mistake that is in it: its signature is good.
check_newer() {
  if [ ! -f "$bin/fly-vault" ] || [ ! -x "$bin/fly-vault" ]; then return; fi
  said=$("$bin/fly-vault" --version 2>/dev/null </dev/null) || true
  installed=${said#fly-vault }
  if is_newer "$installed" "$version"; then
    fail "the newest release is older than what is installed" "it is $version, and \"$bin/fly-vault\" is $installed" "if you want it all the same:  --version $version"
  fi
}

# is_newer VERSION THAN: by their numbers. A release is newer than what came before it (1.0.0-rc.1); of two of
# those with the same numbers neither is.
is_newer() {
  one=${1%%-*}. other=${2%%-*}.
  while [ -n "$one" ] && [ -n "$other" ]; do
    # What is no number is no version of ours.
    if [ "${one%%.*}" -gt "${other%%.*}" ] 2>/dev/null; then return 0; fi
    [ "${one%%.*}" -eq "${other%%.*}" ] 2>/dev/null || return 1
    one=${one#*.} other=${other#*.}
  done
  case $1/$2 in
    *-*/*) return 1 ;;
    */*-*) return 0 ;;
    *) return 1 ;;
  esac
}

check_signature() {
  unchecked=
  if [ -z "$key" ]; then
    unchecked='no key is known'
  elif ! command -v ssh-keygen >/dev/null; then
    unchecked='ssh-keygen is not installed'
  elif ! knows_signatures; then
    unchecked='ssh-keygen is older than OpenSSH 8.1'
  fi
  if [ -n "$unchecked" ]; then
    [ "$require_signature" = no ] || fail "the release's signature cannot be checked" "$unchecked" "install OpenSSH's client, 8.1 or newer, or set FLY_VAULT_RELEASE_KEY"
    say "note: the signature was not checked ($unchecked), only checksums"
    return
  fi
  fetch "$place/SHA256SUMS.sig" "$scratch/SHA256SUMS.sig" 4096
  printf '%s\n' "$key" | sed 's/^/fly-vault /' >"$scratch/signers"
  ssh-keygen -Y verify -q -f "$scratch/signers" -I fly-vault -n fly-vault-release \
    -s "$scratch/SHA256SUMS.sig" <"$scratch/SHA256SUMS" >/dev/null 2>&1 ||
    fail "the release is not signed by the right key" "SHA256SUMS.sig is no signature of SHA256SUMS by a key that is known" "do not install it by other ways; tell whoever publishes the releases"
}

# An older one calls -Y an unknown option; the others miss a file. Neither is asked about the release.
knows_signatures() {
  case $(ssh-keygen -Y find-principals 2>&1 </dev/null) in
    *option*Y*) return 1 ;;
  esac
}

fetch_program() {
  say "fetching $archive"
  fetch "$place/$archive" "$scratch/$archive" 268435456
  wanted=$(sed -n "s/^\([0-9a-f]\{64\}\)  $archive\$/\1/p" "$scratch/SHA256SUMS")
  is=$($hasher <"$scratch/$archive" | sed 's/ .*//')
  [ "$is" = "$wanted" ] ||
    fail "\"$archive\" is not what the release says" "sha256 $is, not $wanted" "try again; if it stays so, tell whoever publishes the releases"
  tar -xzf "$scratch/$archive" -C "$scratch" "${archive%.tar.gz}/fly-vault" ||
    fail "the archive cannot be unpacked" "tar said so above" "see that there is room in $scratch"
}

# Before anything is changed: nothing of somebody else's is replaced.
check_place() {
  mkdir -p "$bin" 2>/dev/null || true
  [ -w "$bin" ] || fail "this user may not write in \"$bin\"" "" "run it as root, or choose a folder of yours:  --prefix ~/.local"
  [ ! -d "$bin/fly-vault" ] || fail "\"$bin/fly-vault\" is a folder" "" "move it away, or choose another --prefix"
  # Homebrew's, or that of somebody who keeps the program elsewhere.
  [ ! -L "$bin/fly-vault" ] ||
    fail "\"$bin/fly-vault\" is a link" "$(kind_of "$bin/fly-vault")" "update it the way it was installed, or remove it, or choose another --prefix"
  for role in $(roles); do
    is_free "$bin/$role" ||
      fail "\"$bin/$role\" is there, and is no link to fly-vault" "$(kind_of "$bin/$role")" "move it away, or choose another --prefix"
  done
}

# Whether there is nothing, or a link as this script makes it.
is_free() {
  if [ ! -L "$1" ]; then [ ! -e "$1" ]; return; fi
  case $(readlink "$1") in
    fly-vault | ./fly-vault | "$bin/fly-vault") ;;
    *) false ;;
  esac
}

kind_of() {
  if [ -L "$1" ]; then echo "it leads to $(readlink "$1")"; else echo "it would be replaced by one"; fi
}

put_in_place() {
  # Beside its place: a rename is one step only within a file system. In a folder that nobody else may write
  # in, so that no link of theirs is followed. What a kill leaves of it, `fly-vault self-update` removes.
  stage=$(mktemp -d "$bin/.fly-vault-update-XXXXXX") ||
    fail "the program could not be written" "mktemp said so above" "see that there is room in $bin"
  cp "$scratch/${archive%.tar.gz}/fly-vault" "$stage/fly-vault" ||
    fail "the program could not be written" "cp said so above" "see that there is room in $bin"
  chmod 755 "$stage/fly-vault"
  said=$("$stage/fly-vault" --version 2>&1) || true
  [ "$said" = "fly-vault $version" ] ||
    fail "the new program does not run on this computer" "it said \"$said\", not \"fly-vault $version\"" "on Linux it needs glibc; build it from source:  make build"
  sync "$stage/fly-vault" 2>/dev/null || sync
  mv -f "$stage/fly-vault" "$bin/fly-vault"
  for role in $(roles); do
    ln -s fly-vault "$stage/$role"
    mv -f "$stage/$role" "$bin/$role"
  done
}

# One program, several names. fly-local runs on Linux alone; as init it is put into images, not here.
roles() {
  case $platform in
    linux-*) echo fly-vault-admin vault-proxy fly-local ;;
    *) echo fly-vault-admin vault-proxy ;;
  esac
}

# fetch URL FILE BYTES_MAX: over https alone, except from this computer.
fetch() {
  case $1 in
    https://*) protocol='=https' ;;
    http://127.0.0.1[:/]* | http://localhost[:/]*) protocol='=http,https' ;;
    *) fail "releases are fetched over https alone" "FLY_VAULT_RELEASES leads to $1" "correct FLY_VAULT_RELEASES" ;;
  esac
  if command -v curl >/dev/null; then
    curl -fsSL --proto "$protocol" --proto-redir "$protocol" --connect-timeout 15 --speed-limit 1 --speed-time 30 \
      --max-redirs 5 --max-filesize "$3" -o "$2" "$1" 2>"$scratch/said" || unreachable "$1"
  elif command -v wget >/dev/null; then
    fetch_by_wget "$1" "$2" 2>"$scratch/said" || unreachable "$1"
  else
    fail "there is no curl and no wget" "" "install one of them"
  fi
  # Not every host says beforehand how long a file is.
  [ "$(wc -c <"$2")" -le "$3" ] || fail "$1 is longer than $3 bytes" "" "tell whoever publishes the releases"
}

# It cannot be told to stay with https: what is led to http goes to a proxy that is none. Only GNU's is known to
# check certificates; of what another one fetched the signature counts alone.
fetch_by_wget() {
  if [ "$protocol" = '=https' ]; then
    case $(wget --version 2>&1) in "GNU Wget "*) ;; *) require_signature=yes ;; esac
    http_proxy=http://127.0.0.1:9 no_proxy='' wget -t 3 -T 30 -O "$2" "$1"
  else
    wget -t 3 -T 30 -O "$2" "$1"
  fi
}

unreachable() {
  # The last line that is not empty.
  said=$(sed -n '/./h; ${ x; p; }' "$scratch/said" 2>/dev/null) || true
  fail "the release could not be fetched" "$1: $said" "check the network and the version; FLY_VAULT_RELEASES says where releases are looked for"
}

need() {
  command -v "$1" >/dev/null || fail "\"$1\" is not on this computer" "" "install it"
}

say() {
  printf '%s\n' "$1" >&2
}

# fail WHAT CAUSE FIX
fail() {
  say "error: $1"
  [ -z "$2" ] || say "  cause: $2"
  say "  fix:   $3"
  exit 1
}

misused() {
  say "error: $1"
  say "$usage"
  exit 2
}

clean_up() {
  [ -z "$scratch" ] || rm -rf "$scratch"
  [ -z "$stage" ] || rm -rf "$stage"
}

# In braces, so that a line that is cut short is none.
{ main "$@"; }
