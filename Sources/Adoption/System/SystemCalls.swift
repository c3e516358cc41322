import Glibc
package import Wire

/// A system call that failed, with what was attempted.
public struct SystemFailure: Error, Equatable, CustomStringConvertible {
    public var operation: String
    public var code: CInt

    public init(_ operation: String, code: CInt = errno) {
        self.operation = operation
        self.code = code
    }

    public var description: String { "\(operation): \(String(cString: strerror(code)))" }
}

/// Microseconds of the monotonic clock.
package func monotonicMicroseconds() -> UInt64 { microseconds(CLOCK_MONOTONIC) }

/// The time of day.
package func microsecondsSince1970() -> UInt64 { microseconds(CLOCK_REALTIME) }

private func microseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
}

/// Options of Linux that the C library's headers hide behind feature macros or do not know yet.
package enum SocketOption {
    package static let mark: CInt = 36  // SO_MARK
    package static let ipTransparent: CInt = 19
    package static let ipv6Transparent: CInt = 75
    package static let repair: CInt = 19
    package static let repairQueue: CInt = 20
    package static let queueSequence: CInt = 21
    package static let repairOptions: CInt = 22
    package static let timestamp: CInt = 24
    package static let repairWindow: CInt = 29
    package static let maximumSegment: CInt = 2
    package static let longestRTO: CInt = 44  // TCP_RTO_MAX_MS
    package static let sendBufferForce: CInt = 32  // SO_SNDBUFFORCE
    package static let bufferLock: CInt = 72  // SO_BUF_LOCK
}

/// `struct tcp_repair_window`.
struct RepairWindow {
    var updateSequence: UInt32 = 0
    var sendWindow: UInt32 = 0
    var largestSendWindow: UInt32 = 0
    var receiveWindow: UInt32 = 0
    var receiveUpdate: UInt32 = 0
}

/// Bytes that lie in a TCP socket, by the question to ask with ioctl(2).
package enum SocketQueue: UInt {
    /// Arrived in order and not read (SIOCINQ).
    case unread = 0x541B
    /// Written and not acknowledged by the other side, sent or not (SIOCOUTQ).
    case unacknowledged = 0x5411
    /// Written and not sent (SIOCOUTQNSD).
    case unsent = 0x894B
}

/// -1 when it cannot be told.
package func pendingBytes(_ descriptor: CInt, _ queue: SocketQueue) -> CInt {
    var bytes: CInt = -1
    return ioctl(descriptor, queue.rawValue, &bytes) == 0 ? bytes : -1
}

package func setOption(
    _ descriptor: CInt, _ level: CInt, _ name: CInt, _ value: CInt, _ label: StaticString
) throws(SystemFailure) {
    var value = value
    guard setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<CInt>.size)) == 0 else {
        throw SystemFailure("setting \(label)")
    }
}

package func getOption(
    _ descriptor: CInt, _ level: CInt, _ name: CInt, _ label: StaticString
) throws(SystemFailure) -> CInt {
    var value: CInt = 0
    var length = socklen_t(MemoryLayout<CInt>.size)
    guard getsockopt(descriptor, level, name, &value, &length) == 0 else { throw SystemFailure("reading \(label)") }
    return value
}

extension Endpoint {
    /// Calls `body` with this endpoint as the kernel wants it.
    package func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        if address.isV4 {
            var socketAddress = sockaddr_in()
            socketAddress.sin_family = sa_family_t(AF_INET)
            socketAddress.sin_port = port.bigEndian
            socketAddress.sin_addr.s_addr = address.v4.bigEndian
            return withUnsafePointer(to: &socketAddress) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        var socketAddress = sockaddr_in6()
        socketAddress.sin6_family = sa_family_t(AF_INET6)
        socketAddress.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &socketAddress.sin6_addr) { bytes in
            bytes.storeBytes(of: address.high.bigEndian, as: UInt64.self)
            bytes.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return withUnsafePointer(to: &socketAddress) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }

    /// What the kernel wrote; nil for another family than IPv4 and IPv6.
    package init?(_ storage: sockaddr_storage) {
        var storage = storage
        switch CInt(storage.ss_family) {
        case AF_INET:
            self = withUnsafeBytes(of: &storage) { bytes in
                let socketAddress = bytes.loadUnaligned(as: sockaddr_in.self)
                return Endpoint(
                    IPAddress(v4: UInt32(bigEndian: socketAddress.sin_addr.s_addr)),
                    port: UInt16(bigEndian: socketAddress.sin_port))
            }
        case AF_INET6:
            self = withUnsafeBytes(of: &storage) { bytes in
                // sin6_addr lies behind family, port and flow label.
                let high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                let low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
                let port = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
                return Endpoint(IPAddress(high: high, low: low), port: port)
            }
        default: return nil
        }
    }
}
