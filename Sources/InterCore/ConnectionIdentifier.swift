public import Wire

/// A QUIC connection identifier that a proxy's server has chosen (RFC 9000 section 5.1): whoever sends to it, from
/// whatever address, is a client of that server.
public struct ConnectionIdentifier: Hashable, Sendable, BitwiseCopyable {
    /// The identifier's bytes as they lie in a packet, zeros behind them.
    public var first: UInt64
    public var second: UInt64
    public var third: UInt32
    /// Bytes, 4 to 20. Shorter ones name nobody among many.
    public var length: UInt8
    public var proxy: ProxyIndex
    /// The service that clients dialled; the same identifier elsewhere is somebody else's.
    public var service: UInt64

    @inlinable public static var lengths: ClosedRange<Int> { 4...QUICLongHeader.maximumIdentifier }

    /// - Parameters:
    ///   - start: the identifier's first byte.
    ///   - count: one of `lengths`; so many bytes are read.
    @inlinable
    public init(_ start: UnsafeRawPointer, count: Int, service: UInt64, proxy: ProxyIndex = .none) {
        var words: (UInt64, UInt64, UInt32) = (0, 0, 0)
        withUnsafeMutableBytes(of: &words) { $0.baseAddress?.copyMemory(from: start, byteCount: count) }
        (first, second, third) = words
        length = UInt8(truncatingIfNeeded: count)
        self.proxy = proxy
        self.service = service
    }

    /// The same identifier of the same service, whoever has it.
    @inlinable
    public func names(_ other: ConnectionIdentifier) -> Bool {
        (first ^ other.first) | (second ^ other.second) | (service ^ other.service) == 0 && third == other.third
            && length == other.length
    }

    @inlinable
    public func hash(seed: UInt64) -> UInt64 {
        let bytes = foldedProduct(first ^ seed ^ 0x9E37_79B9_7F4A_7C15, second ^ 0xD1B5_4A32_D192_ED03)
        return foldedProduct(
            bytes ^ seed ^ UInt64(third) ^ UInt64(length) &<< 32, service ^ 0x2545_F491_4F6C_DD1D)
    }
}

extension PackedFlowKey {
    /// The server's address and port and the VLAN as one number: the same in all workers, and for all clients.
    @inlinable
    public func service(seed: UInt64) -> UInt64 {
        var key = self
        key.ports &= ~0xFFFF
        if isV6 {
            key.addresses = 0
            key.clientLow = 0
        } else {
            key.addresses &= ~0xFFFF_FFFF
        }
        return flowHash(of: key, seed: seed)
    }
}
