import Glibc

/// A connection that the kernel opens, and what it says of it.
struct KernelClient: ~Copyable {
    private let descriptor: Int32

    /// Begins to connect to port 80.
    init(to server: [UInt8]) throws {
        let isV6 = server.count == 16
        descriptor = socket(isV6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        var address: [UInt8] = [UInt8(isV6 ? AF_INET6 : AF_INET), 0, 0, 80]
        address += isV6 ? [0, 0, 0, 0] + server + [0, 0, 0, 0] : server + .init(repeating: 0, count: 8)
        let result = address.withUnsafeBytes {
            connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        guard result == 0 || errno == EINPROGRESS else { throw TapDevice.Failure("connect") }
    }

    /// Closes by a reset, so that nothing of it comes later.
    deinit {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        close(descriptor)
    }

    func send(_ bytes: [UInt8]) throws {
        guard Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw TapDevice.Failure("send")
        }
    }

    /// What has come by now, at most; waits ten seconds for the first of it.
    func receive() throws -> [UInt8] {
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wait, 1, 10_000) == 1 else { return [] }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else { throw TapDevice.Failure("recv") }
        return Array(bytes.prefix(count))
    }

    /// What the kernel made of the handshake, by TCP_INFO (linux/tcp.h).
    struct Information: Equatable {
        var timestamps, sack, windowScale, ecn: Bool
        /// Shift of the windows that it receives, and of those that it sends.
        var peerScale, ownScale: UInt8
        /// Bytes of payload that it puts into a segment.
        var segmentSize: UInt32
    }

    func information() throws -> Information {
        var bytes = [UInt8](repeating: 0, count: 104)
        var length = socklen_t(bytes.count)
        guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &bytes, &length) == 0, bytes[0] == 1 else {
            throw TapDevice.Failure("TCP_INFO, state \(bytes[0])")
        }
        return Information(
            timestamps: bytes[5] & 1 != 0, sack: bytes[5] & 2 != 0, windowScale: bytes[5] & 4 != 0,
            ecn: bytes[5] & 8 != 0, peerScale: bytes[6] & 15, ownScale: bytes[6] >> 4,
            segmentSize: UInt32(bytes[16]) | UInt32(bytes[17]) << 8)
    }
}
