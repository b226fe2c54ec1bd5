#!/usr/bin/env bash
# Tries the packages in a virtual machine, with its own kernel, systemd as process 1 and AppArmor:
# packaging/test/vm.sh [STEP...]
#
# Makes the Debian once (mmdebstrap), boots it under qemu, by KVM where that works, installs the .deb in it, and
# keeps the running machine in target/test/vm, both as booted and as installed. Each step of
# packaging/test/vm-guest then goes on from there in a machine of its own, so that a step can be tried alone and
# a fault in one is no fault in the next. Without steps: all of them. The packages are built unless DEB and RPM
# name them.
#
# Needs root and, from Debian, mmdebstrap, qemu-system-x86, e2fsprogs and zstd. Software emulation
# takes some twenty minutes, so CI does without. VM_MEMORY sets the machine's MiB (1024), VM_SECONDS the time
# that a step may take (1800).
set -u
# shellcheck source=packaging/test/scratch.sh
. "$(dirname "$0")/scratch.sh"
if [ "${1-}" = --help ]; then
	sed -n '2,/^[^#]/s/^#$\|^# //p' "$0"
	exit
fi
[ "$(id -u)" = 0 ] || { echo "$0: needs root, to make the Debian" >&2; exit 1; }
need mmdebstrap mmdebstrap
need qemu-system-x86_64 qemu-system-x86
need mkfs.ext4 e2fsprogs
need dpkg-deb dpkg
need zstd zstd

kept=${VM_DIRECTORY:-$TOP/target/test/vm}
seconds=${VM_SECONDS:-1800}
memory=${VM_MEMORY:-1024}
packages=systemd,systemd-sysv,dbus,apparmor,linux-image-cloud-amd64,init-system-helpers,logrotate,procps,iproute2,curl,kmod,rpm
mapfile -t all < <(sed -n '/^# Steps/,$s/^\([a-z_]*\)() {$/\1/p' "$HERE/vm-guest")
[ $# -gt 0 ] || set -- "${all[@]}"
for step; do
	[[ " ${all[*]} " == *" $step "* ]] || { echo "$0: no step $step; there are ${all[*]}" >&2; exit 2; }
done

# What runs at the end of the boot: each job that the second disk holds. Its first block names the job, and a tar
# with what the job needs begins at the second. No cache lies between, so that a machine that goes on from
# where it was kept sees what the disk holds now.
unit='[Unit]
After=multi-user.target

[Service]
ExecStart=bash /usr/local/sbin/vm-jobs
StandardOutput=file:/dev/ttyS1
StandardError=inherit

[Install]
WantedBy=multi-user.target'
# shellcheck disable=SC2016 # the machine is to expand them
jobs='last=none
read_disk() { dd if=/dev/vdb iflag=direct bs=4096 status=none "$@" 2>/dev/null; }
while sleep 1; do
	job=$(read_disk count=1 | tr -d "\0")
	[ "$job" != "$last" ] || continue
	rm -rf /run/vm && mkdir /run/vm && read_disk skip=1 | tar -C /run/vm -x --touch
	[ "${job#* }" = boot ] || bash /run/vm/vm-guest ${job#* }
	last=$job
	sync
	echo 3 >/proc/sys/vm/drop_caches
	echo "end of $job"
done'

# Kernel, initial RAM disk and root file system.
make_debian() {
	echo "making a Debian in $kept"
	rm -rf "$kept" && mkdir -p "$kept" &&
		mmdebstrap --quiet --variant=minbase --include="$packages" \
			--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
			bookworm "$kept/root" &&
		echo "$unit" >"$kept/root/etc/systemd/system/vm-test.service" &&
		echo "$jobs" >"$kept/root/usr/local/sbin/vm-jobs" &&
		ln -s ../vm-test.service "$kept/root/etc/systemd/system/multi-user.target.wants/" &&
		echo vm >"$kept/root/etc/hostname" &&
		cp "$kept"/root/boot/vmlinuz-* "$kept/kernel" && cp "$kept"/root/boot/initrd.img-* "$kept/initrd" &&
		truncate --size=1500M "$kept/disk" && mkfs.ext4 -q -F -d "$kept/root" "$kept/disk" &&
		rm -r "$kept/root"
}

# newer VERSION: the Debian package once more, as that version.
newer() {
	rm -rf "$work/tree"
	dpkg-deb --raw-extract "$work/input/thttpd.deb" "$work/tree" &&
		sed -i "s/^Version: .*/Version: $1/" "$work/tree/DEBIAN/control" &&
		dpkg-deb --root-owner-group --build "$work/tree" "$work/input/thttpd-$1.deb" >/dev/null
}

# The same for the RPM, with the programs of the last tree.
newer_rpm() {
	local tree=$work/source
	mkdir -p "$tree/programs" &&
		cp -r "$TOP/packaging" "$TOP/man" "$TOP/LICENSE" "$TOP/thttpd.conf.example" "$tree" &&
		cp "$work"/tree/usr/{sbin/*,bin/*,lib/thttpd/cgi-bin/*,share/doc/thttpd/thttpd.cdx.json} "$tree/programs" &&
		sed -i "s/^Version: .*/Version: $1/" "$tree/packaging/rpm/thttpd.spec" &&
		SOURCE_DATE_EPOCH=1 PROGRAMS=$tree/programs "$tree/packaging/rpm/build" "$work/source" >/dev/null &&
		mv "$work/source"/thttpd-*.rpm "$work/input/thttpd-$1.rpm"
}

# /dev/kvm may be there and not work, as in some virtual machines: does a kernel say its first words?
kvm_works() {
	[ -w /dev/kvm ] || return 1
	timeout 20 qemu-system-x86_64 -accel kvm -m 256 -display none -nodefaults -no-reboot -kernel "$kept/kernel" \
		-append "console=ttyS0 panic=-1" -serial "file:$work/kvm" </dev/null >/dev/null 2>&1
	grep -q 'Linux version' "$work/kvm" 2>/dev/null
}

# run JOB DISK [OPTIONS...]: a machine with DISK (a -drive's options) that does JOB. Returns once that has ended, or
# its time has; the machine is on then still, for keep and off. What the job says goes on, too.
run() {
	local disk=$2 job="$$.$EPOCHREALTIME $1" deadline=$((SECONDS + seconds)) reader
	shift 2
	date +%s >"$work/input/now"
	{ echo "$job" | dd bs=4096 conv=sync status=none; tar -C "$work/input" -c .; } >"$work/job"
	truncate --size=32M "$work/job"
	: >"$work/said"
	rm -f "$work/monitor" && mkfifo "$work/monitor"
	qemu-system-x86_64 -accel "$accelerator" -m "$memory" -smp 1 -display none -nodefaults -no-reboot \
		-kernel "$kept/kernel" -initrd "$kept/initrd" \
		-append "root=/dev/vda rw console=ttyS0 quiet apparmor=1 security=apparmor no_timer_check" \
		-drive "if=virtio,$disk" -drive "file=$work/job,format=raw,if=virtio,readonly=on" \
		-serial "file:$work/console" -serial "file:$work/said" -monitor stdio "$@" <"$work/monitor" >"$work/qemu" 2>&1 &
	qemu=$!
	exec 5>"$work/monitor"
	tail --follow --lines=+1 --sleep-interval=0.2 --pid=$qemu "$work/said" 2>/dev/null | sed -u 's/\r$//; /^end of /d' &
	reader=$!
	until grep -qF "end of $job" "$work/said"; do
		[ "$SECONDS" -lt "$deadline" ] && kill -0 $qemu 2>/dev/null || {
			kill $qemu 2>/dev/null
			ended
			wait $reader
			return 1
		}
		sleep 0.2
	done
}

# keep FILE: ends the machine, and keeps in FILE what it was doing.
keep() {
	printf 'migrate "exec:zstd -q -3 >%s"\nquit\n' "$1" >&5
	ended
	[ -s "$1" ]
}

off() {
	echo quit >&5
	ended
}

# The machine is gone, or will be soon.
ended() {
	exec 5>&-
	wait "$qemu"
	qemu=
}

# go_on FILE JOB DISK: as run, by a machine that does what was kept in FILE.
go_on() {
	local state=$1
	shift
	run "$@" -incoming "exec:zstd -qdc $state"
}

# Is NAME kept, made of the same things? Else it is taken away.
is_kept() {
	[ "$(cat "$kept/$1.key" 2>/dev/null)" != "$2" ] || return 0
	rm -f "$kept/$1".*
	return 1
}

work=$(mktemp -d)
qemu=
trap '[ -z "$qemu" ] || kill $qemu 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/input"
made="$packages $(echo "$unit $jobs" | sha256sum)"
[ "$(cat "$kept/made" 2>/dev/null)" = "$made" ] || { make_debian && echo "$made" >"$kept/made"; } || exit 1
accelerator=tcg
! kvm_works || accelerator=kvm

booted="$accelerator $memory $(qemu-system-x86_64 --version | head -n 1)"
is_kept booted "$booted" || {
	echo "booting by $accelerator"
	cp --sparse=always "$kept/disk" "$kept/booted.disk" && run boot "file=$kept/booted.disk,format=raw" && keep "$kept/booted.state" ||
		{ cat "$work/qemu"; tail --lines=40 "$work/console"; exit 1; }
	echo "$booted" >"$kept/booted.key"
}

DEB=${DEB:-$("$TOP/packaging/deb/build")} && RPM=${RPM:-$("$TOP/packaging/rpm/build")} || exit 1
cp "$DEB" "$work/input/thttpd.deb" && cp "$RPM" "$work/input/thttpd.rpm" &&
	cp "$HERE"/{vm-guest,vm-load,scratch.sh} "$work/input" && newer 3.0.1 && newer 3.0.2 && newer_rpm 3.0.1 || exit 1

# try STEP: by a machine of its own, which leaves no trace. Adds up what passed and what failed.
try() {
	local from=installed options=snapshot=on counts status=0
	case $1 in
	installation)
		from=booted options=
		rm -f "$kept/installed".*
		;;
	rpm_package) from=booted ;;
	esac
	echo "--- $1"
	disk=$kept/$from.disk
	[ "$1" != installation ] || { disk=$kept/installed.disk && cp --sparse=always "$kept/booted.disk" "$disk"; }
	go_on "$kept/$from.state" "$1" "file=$disk,format=raw${options:+,$options}" || status=1
	counts=$(tr -d '\r' <"$work/said" | grep -P '^\d+ passed, \d+ failed$')
	if [ $status != 0 ] || [ -z "$counts" ]; then
		[ $status = 0 ] || echo "FAIL $1 did not come to its end within $seconds s"
		tail --lines=40 "$work/qemu" "$work/console"
		counts="0 passed, 1 failed"
	fi
	[[ $counts =~ ^([0-9]+)\ passed,\ ([0-9]+) ]]
	PASSED=$((PASSED + BASH_REMATCH[1])) FAILED=$((FAILED + BASH_REMATCH[2]))
	if [ $status != 0 ]; then
		return
	elif [ "$1" = installation ] && [ "${BASH_REMATCH[2]}" = 0 ]; then
		keep "$kept/installed.state" && echo "$installed" >"$kept/installed.key"
	else
		off
	fi
}

# What the other steps go on from.
installed="$booted $(sha256sum <"$DEB")"
[[ " $* " == *" installation "* ]] || is_kept installed "$installed" || set -- installation "$@"
for step; do
	[ "$step" = installation ] || [ "$step" = rpm_package ] || is_kept installed "$installed" ||
		{ echo "FAIL $step: nothing is installed that it could go on from"; FAILED=$((FAILED + 1)); continue; }
	try "$step"
done
finish
