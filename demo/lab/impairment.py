"""A wire with faults: frames between two interfaces of one host are lost, repeated, delayed or reordered, by a seed.

Run as a program on the host in the middle:

    impairment.py LEFT RIGHT --loss 0.01 --duplicate 0.01 --reorder 0.01 --corrupt 0.01 --seed 7 [--swap-first-payloads 3]

The kernel's netem would do this where it exists; this needs only packet sockets.
"""

import argparse
import heapq
import itertools
import random
import select
import socket
import time

ETH_P_ALL = 3
PACKET_ADD_MEMBERSHIP, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 1, 8, 23
SOL_PACKET = 263
TP_STATUS_VLAN_VALID = 16
CRTP_PORT = 7443


def open_interface(name):
    descriptor = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    descriptor.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    descriptor.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    descriptor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, 1 << 26)
    descriptor.setsockopt(socket.SOL_SOCKET, 32, 1 << 26)
    descriptor.bind((name, 0))
    membership = socket.if_nametoindex(name).to_bytes(4, "little") + (1).to_bytes(2, "little") + bytes(10)
    descriptor.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)  # PACKET_MR_PROMISC
    descriptor.setblocking(False)
    return descriptor


def tagged(frame, vlan):
    """The frame with an 802.1Q tag."""
    return frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]


def receive(descriptor):
    """A frame, without the outermost 802.1Q tag, and that tag's VLAN, or None: the kernel takes tags off by itself."""
    frame, ancillary, _, _ = descriptor.recvmsg(65536, 64)
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, tag = int.from_bytes(data[:4], "little"), int.from_bytes(data[16:18], "little")
            if status & TP_STATUS_VLAN_VALID:
                return frame, tag & 0x0FFF
    return frame, None


def tcp_payload_length(frame):
    """Bytes of TCP payload in an Ethernet frame; 0 for anything else."""
    if frame[12:14] == b"\x08\x00" and frame[23] == 6:
        header = (frame[14] & 15) * 4
        return int.from_bytes(frame[16:18], "big") - header - (frame[14 + header + 12] >> 4) * 4
    if frame[12:14] == b"\x86\xdd" and frame[20] == 6:
        return int.from_bytes(frame[18:20], "big") - (frame[54 + 12] >> 4) * 4
    return 0


def crtp_type(frame):
    """The type of a CRTP frame over IPv4, or None; it is not secret, even in a sealed frame."""
    if frame[12:14] == b"\x08\x00" and frame[23] == 17:
        udp = 14 + (frame[14] & 15) * 4
        if CRTP_PORT in (int.from_bytes(frame[udp : udp + 2], "big"), int.from_bytes(frame[udp + 2 : udp + 4], "big")):
            return frame[udp + 9]
    return None


def corrupted(frame, position):
    """The frame with a bit of its CRTP frame turned over, and no checksum of UDP that could tell: RFC 768 lets it be 0."""
    udp = 14 + (frame[14] & 15) * 4
    spoilt = bytearray(frame)
    spoilt[udp + 6:udp + 8] = bytes(2)
    spoilt[udp + 8 + int(position * (len(frame) - udp - 8))] ^= 16
    return bytes(spoilt)


class Faults:
    """Decides the fate of one direction's frames."""

    def __init__(self, options, seed, swap):
        self.random = random.Random(seed)
        self.options = options
        #: Payload-bearing frames still to be collected, for the permutation at the start.
        self.swap = swap
        self.collected = []

    def deliveries(self, frame):
        """(delay in seconds, frame) pairs, in the order in which they shall leave."""
        if self.swap and tcp_payload_length(frame) > 0:
            self.collected.append(frame)
            if len(self.collected) < self.swap:
                return []
            middle = self.collected.pop(len(self.collected) // 2)
            frames, self.collected, self.swap = [middle] + self.collected, [], 0
            return [(self.options.delay, held) for held in frames]
        if self.options.drop_crtp and crtp_type(frame) in self.options.drop_crtp:
            return []
        if self.options.spare_crtp and crtp_type(frame) in self.options.spare_crtp:
            return [(self.options.delay, frame)]
        if self.random.random() < self.options.loss:
            return []
        if self.options.corrupt and crtp_type(frame) is not None and self.random.random() < self.options.corrupt:
            frame = corrupted(frame, self.random.random())
        delay = self.options.delay
        if self.random.random() < self.options.reorder:
            delay += self.options.reorder_by * self.random.random()
        copies = [(delay, frame)]
        if self.random.random() < self.options.duplicate:
            copies.append((delay, frame))
        return copies


def main():
    parser = argparse.ArgumentParser(description="A wire with faults between two interfaces.")
    parser.add_argument("left")
    parser.add_argument("right")
    for name in ("loss", "duplicate", "reorder"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="share of frames, 0 to 1")
    parser.add_argument("--corrupt", type=float, default=0.0, help="share of CRTP's frames over IPv4, 0 to 1")
    parser.add_argument("--reorder-by", type=float, default=0.003, help="most seconds that a frame is late")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds for every frame")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--swap-first-payloads", type=int, default=0, metavar="N",
                        help="from left: the first N frames with payload leave with the middle one first")
    parser.add_argument("--drop-crtp", type=int, action="append", metavar="TYPE", help="lose every CRTP frame of a type")
    parser.add_argument("--spare-crtp", type=int, action="append", metavar="TYPE", help="no fault to CRTP frames of a type")
    parser.add_argument("--vlan", type=int, help="the wire to the right carries this VLAN and nothing else; the left has no tags")
    options = parser.parse_args()

    left, right = open_interface(options.left), open_interface(options.right)
    directions = {
        left.fileno(): (left, right, Faults(options, options.seed, options.swap_first_payloads)),
        right.fileno(): (right, left, Faults(options, options.seed + 1, 0)),
    }
    poller = select.poll()
    for descriptor in directions:
        poller.register(descriptor, select.POLLIN)
    late, order = [], itertools.count()
    print("ready", flush=True)
    while True:
        wait = None if not late else max(0, (late[0][0] - time.monotonic()) * 1000)
        for descriptor, _ in poller.poll(wait):
            source, sink, faults = directions[descriptor]
            for _ in range(64):
                try:
                    frame, vlan = receive(source)
                except BlockingIOError:
                    break
                if vlan != (options.vlan if source is right else None):
                    continue
                if options.vlan is not None and source is left:
                    frame = tagged(frame, options.vlan)
                for delay, copy in faults.deliveries(frame):
                    if delay > 0:
                        heapq.heappush(late, (time.monotonic() + delay, next(order), sink, copy))
                    else:
                        send(sink, copy)
        while late and late[0][0] <= time.monotonic():
            _, _, sink, frame = heapq.heappop(late)
            send(sink, frame)


def send(sink, frame):
    try:
        sink.send(frame)
    except OSError:
        pass  # a full or absent interface is one more lost frame


if __name__ == "__main__":
    main()
