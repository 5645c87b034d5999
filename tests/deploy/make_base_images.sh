#!/usr/bin/env bash
# make_base_images.sh NAME…: base images for a Docker engine that cannot pull any, out of Debian packages:
# sovd-base/{python-build,python-runtime,node,nginx}. Needs root and debootstrap on
# Debian; the node one takes the node and npm of this machine. What is there is left alone.
set -euo pipefail
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Without what no process reads at run time.
slim() { rm -rf "$1"/usr/share/{doc,man,locale,info,lintian} "$1"/var/cache/apt "$1"/var/lib/apt/lists; }

# The packages unpacked and nothing else, as distroless images are made: no shell, no package manager.
from_packages() {
  local root=$work/$1 package
  shift
  mkdir -p "$root/tmp" "$root/etc" "$work/debs"
  chmod 1777 "$root/tmp"
  (cd "$work/debs" && apt-get download "$@" > /dev/null)
  for package in "$@"; do
    dpkg-deb --extract "$work/debs/${package}"_*.deb "$root"
  done
  slim "$root"
  printf '%s\n' 'root:x:0:0::/:/sbin/nologin' 'nonroot:x:65532:65532::/tmp:/sbin/nologin' > "$root/etc/passwd"
  printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' > "$root/etc/group"
}

# A small Debian with these packages installed.
from_debian() {
  local root=$work/$1 packages=$2
  debootstrap --variant=minbase --include="$packages" "$suite" "$root" > "$work/log" || { tail -n 20 "$work/log" >&2; return 1; }
  slim "$root"
}

make_python_build() { from_debian python-build python3,python3-pip,ca-certificates,binutils; }
make_python_runtime() {
  local python
  python=$(apt-cache depends python3-minimal | sed -n 's/.*Depends: \(python3\.[0-9]*-minimal\)/\1/p')
  python=${python%-minimal}
  from_packages python-runtime libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5 \
    libsqlite3-0 libuuid1 libcrypt1 libdb5.3 tzdata media-types python3-minimal \
    "$python-minimal" "lib$python-minimal" "lib$python-stdlib"
}
make_node() {
  from_debian node ca-certificates,libstdc++6
  cp "$(readlink -f "$(command -v node)")" "$work/node/usr/bin/node"
  mkdir -p "$work/node/usr/lib/node_modules"
  cp -r "$(dirname "$(readlink -f "$(command -v npm)")")/.." "$work/node/usr/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/node/usr/bin/npm"
}
make_nginx() {
  from_packages nginx libc6 libcrypt1 libpcre2-8-0 libssl3 zlib1g libselinux1 nginx dash coreutils libacl1 libattr1 \
    libgmp10 wget libgnutls30 libidn2-0 libunistring2 libnettle8 libhogweed6 libp11-kit0 libtasn1-6 libffi8 libpsl5 \
    libuuid1 sed
}

for name in "$@"; do
  image=sovd-base/$name
  docker image inspect "$image" > /dev/null 2>&1 && continue
  echo "making $image" >&2
  "make_${name//-/_}"
  tar --create --numeric-owner --directory "$work/$name" . | docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin' - "$image" > /dev/null
  rm -rf "${work:?}/$name"
done
