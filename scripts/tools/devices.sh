#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# In place of the shell in device_initramfs() of scripts/bench_lib.py, where instructions are counted and one takes a nanosecond.
# `bench=` on the kernel's command line: `disk` is fio on a disk in memory, `server` and `client` are iperf3 in two guests on one
# switch. `amount=` is the number of blocks of 4 KiB that fio reads, in random order, or of the bytes that iperf3 sends.
amount=
for word in $(cat /proc/cmdline); do
	case "$word" in
	amount=*) amount=${word#amount=} ;;
	esac
done

# Nanoseconds for each block, by fio's count of milliseconds. Of its terse output, field 5 is the error, 6 KiB read, 9 the time.
requests() { # figure, depth
	blocks=${amount:-16384}
	fio --max-jobs=1 --name=read --filename="$disk" --readonly --direct=1 --ioengine=libaio --rw=randread --bs=4k --size=64M \
		--io_size=$((blocks * 4))k --iodepth="$2" --randseed=1 --minimal --terse-version=3 >/tmp/fio
	[ "$(cut -d';' -f5,6 /tmp/fio)" = "0;$((blocks * 4))" ] || echo "failed $1"
	echo "workload $1 $(($(cut -d';' -f9 /tmp/fio) * 1000000 / blocks))"
}

case " $(cat /proc/cmdline) " in
*" bench=disk "*)
	for disk in /dev/vda /dev/xvda /dev/ram0; do
		[ ! -b $disk ] || break
	done
	echo "disk $disk"
	# All blocks of a disk that the kernel makes are there before one is read.
	[ $disk != /dev/ram0 ] || dd if=/dev/zero of=$disk bs=1M count=64 conv=fsync 2>/dev/null
	requests fio-qd1 1
	requests fio-qd32 32
	;;
*" bench=server "*)
	echo "server starts"
	iperf3 -s >/dev/null
	;;
*" bench=client "*)
	for i in 1 2 3; do
		until iperf3 -c 10.0.0.1 -n "${amount:-256M}" -f k; do sleep 1; done
	done
	;;
esac
echo "workloads end"
poweroff -f
