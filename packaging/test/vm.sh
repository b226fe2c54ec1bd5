#!/usr/bin/env bash
# Tries the Debian package in a virtual machine, with its own kernel, systemd as process 1 and AppArmor:
# packaging/test/vm.sh [DEB]
#
# Makes the Debian once (mmdebstrap; kept in target/test/vm), boots it under qemu, by KVM where that works,
# and runs packaging/test/vm-guest in it: reloads, upgrades, removal and restarts under load, scripts under
# the enforced profile, instances. Needs root and, from Debian, mmdebstrap, qemu-system-x86 and e2fsprogs.
# Software emulation takes some ten minutes, so CI does without. VM_MEMORY sets the machine's MiB (1024).
set -u
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
[ "$(id -u)" = 0 ] || { echo "$0: needs root, to make the Debian" >&2; exit 1; }
need mmdebstrap mmdebstrap
need qemu-system-x86_64 qemu-system-x86
need mkfs.ext4 e2fsprogs
need dpkg-deb dpkg
[ $# -gt 0 ] || set -- "$("$TOP/packaging/deb/build")"

kept=${VM_DIRECTORY:-$TOP/target/test/vm}
packages=systemd,systemd-sysv,dbus,apparmor,linux-image-cloud-amd64,init-system-helpers,logrotate,procps,iproute2,curl,kmod
# What runs at the end of the boot: vm-guest, from the second disk, which is a tar.
unit='[Unit]
After=multi-user.target

[Service]
Type=oneshot
ExecStart=sh -c "mkdir /run/vm && tar -C /run/vm -xf /dev/vdb && exec bash /run/vm/vm-guest"
ExecStopPost=systemctl --no-block poweroff
StandardOutput=file:/dev/ttyS1
StandardError=inherit

[Install]
WantedBy=multi-user.target'

# Kernel, initial RAM disk and root file system, made once for each list of packages.
make_debian() {
	[ "$(cat "$kept/made" 2>/dev/null)" != "$packages" ] || return 0
	echo "making a Debian in $kept"
	rm -rf "$kept" && mkdir -p "$kept" &&
		mmdebstrap --quiet --variant=minbase --include="$packages" \
			--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
			bookworm "$kept/root" &&
		echo "$unit" >"$kept/root/etc/systemd/system/vm-test.service" &&
		ln -s ../vm-test.service "$kept/root/etc/systemd/system/multi-user.target.wants/" &&
		echo vm >"$kept/root/etc/hostname" &&
		cp "$kept"/root/boot/vmlinuz-* "$kept/kernel" && cp "$kept"/root/boot/initrd.img-* "$kept/initrd" &&
		truncate --size=1500M "$kept/disk" && mkfs.ext4 -q -F -d "$kept/root" "$kept/disk" &&
		rm -r "$kept/root" && echo "$packages" >"$kept/made"
}

# newer VERSION: the package once more, as that version.
newer() {
	rm -rf "$work/tree"
	dpkg-deb --raw-extract "$work/vm/thttpd.deb" "$work/tree" &&
		sed -i "s/^Version: .*/Version: $1/" "$work/tree/DEBIAN/control" &&
		dpkg-deb --root-owner-group --build "$work/tree" "$work/vm/thttpd-$1.deb" >/dev/null
}

# machine SECONDS ACCELERATOR OPTIONS...: kernel and initial RAM disk of that Debian.
machine() {
	local seconds=$1 accelerator=$2
	shift 2
	timeout "$seconds" qemu-system-x86_64 -accel "$accelerator" -m "${VM_MEMORY:-1024}" -smp 1 -display none \
		-nodefaults -no-reboot -kernel "$kept/kernel" -initrd "$kept/initrd" "$@" </dev/null
}

# /dev/kvm may be there and not work, as in some virtual machines: does a kernel say its first words?
kvm_works() {
	[ -w /dev/kvm ] || return 1
	machine 20 kvm -append "console=ttyS0 panic=-1" -serial "file:$work/kvm" >/dev/null 2>&1
	grep -q 'Linux version' "$work/kvm" 2>/dev/null
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make_debian || exit 1
mkdir "$work/vm"
cp "$1" "$work/vm/thttpd.deb" && cp "$HERE"/{vm-guest,vm-load,scratch.sh} "$work/vm" && newer 3.0.1 && newer 3.0.2 || exit 1
tar -C "$work/vm" -cf "$work/input" .
accelerator=tcg
! kvm_works || accelerator=kvm
echo "booting by $accelerator"
: >"$work/said"
tail --follow --lines=+1 --pid=$$ "$work/said" &
machine "${VM_SECONDS:-2400}" "$accelerator" -append "root=/dev/vda rw console=ttyS0 quiet apparmor=1 security=apparmor no_timer_check" \
	-drive "file=$kept/disk,format=raw,if=virtio,snapshot=on" -drive "file=$work/input,format=raw,if=virtio,readonly=on" \
	-serial "file:$work/console" -serial "file:$work/said"
sleep 1
# The last line of a test that came to its end.
grep -qP '^\d+ passed, 0 failed\r?$' "$work/said" && exit 0
tail --lines=40 "$work/console"
exit 1
