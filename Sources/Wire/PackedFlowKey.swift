/// A `FlowKey` in the bytes of the packet that it was read from, network byte order: what a worker hashes and compares.
/// An IPv4 key is two words, an IPv6 key five; nothing is swapped on the packet way.
public struct PackedFlowKey: Hashable, Sendable, BitwiseCopyable {
    /// Bytes 0 to 5: client port, server port, VLAN (its own byte order). Byte 6: 1 for IPv6. Byte 7: 0.
    public var ports: UInt64
    // In a row, as in a packet that comes from the client.
    /// IPv4: the client's address and the server's. IPv6: the first eight bytes of the client's.
    public var addresses: UInt64
    /// IPv6 only: the rest of the client's address, and the server's.
    public var clientLow: UInt64 = 0
    public var serverHigh: UInt64 = 0
    public var serverLow: UInt64 = 0

    /// An IPv4 key from its words.
    @inlinable @inline(__always)
    public init(addresses: UInt64, ports: UInt64) {
        self.addresses = addresses
        self.ports = ports
    }

    /// An IPv6 key from its words.
    @inlinable @inline(__always)
    public init(clientHigh: UInt64, clientLow: UInt64, serverHigh: UInt64, serverLow: UInt64, ports: UInt64) {
        addresses = clientHigh
        self.ports = ports | 1 &<< 48
        self.clientLow = clientLow
        self.serverHigh = serverHigh
        self.serverLow = serverLow
    }

    @inlinable @inline(__always)
    public var isV6: Bool { ports >> 48 != 0 }

    @inlinable @inline(__always)
    public var vlan: VLAN { VLAN(UInt16(truncatingIfNeeded: ports >> 32)) }

    @inlinable
    public init(_ key: FlowKey) {
        ports =
            UInt64(key.clientPort.bigEndian) | UInt64(key.serverPort.bigEndian) << 16 | UInt64(key.vlan.value) << 32
        if key.client.isV4, key.server.isV4 {
            addresses = UInt64(key.client.v4.bigEndian) | UInt64(key.server.v4.bigEndian) << 32
        } else {
            ports |= 1 << 48
            addresses = key.client.high.bigEndian
            clientLow = key.client.low.bigEndian
            serverHigh = key.server.high.bigEndian
            serverLow = key.server.low.bigEndian
        }
    }

    @inlinable
    public var key: FlowKey {
        let client =
            isV6
            ? IPAddress(high: UInt64(bigEndian: addresses), low: UInt64(bigEndian: clientLow))
            : IPAddress(v4: UInt32(bigEndian: UInt32(truncatingIfNeeded: addresses)))
        let server =
            isV6
            ? IPAddress(high: UInt64(bigEndian: serverHigh), low: UInt64(bigEndian: serverLow))
            : IPAddress(v4: UInt32(bigEndian: UInt32(truncatingIfNeeded: addresses >> 32)))
        return FlowKey(
            client: client, clientPort: UInt16(bigEndian: UInt16(truncatingIfNeeded: ports)), server: server,
            serverPort: UInt16(bigEndian: UInt16(truncatingIfNeeded: ports >> 16)), vlan: vlan)
    }
}

extension PackedFlowKey {
    /// Reads the key of a packet that goes from client to server (`fromClient`) or back.
    /// - Parameters:
    ///   - sourceAddress: the IP header's source address, with the destination behind it.
    ///   - ports: the TCP or UDP header's source port, with the destination port behind it.
    @inlinable @inline(__always)
    public init(
        sourceAddress: UnsafeRawPointer, ports portBytes: UnsafeRawPointer, isV6: Bool, vlan: VLAN, fromClient: Bool
    ) {
        let ports = PackedFlowKey.ports(portBytes, vlan: vlan, fromClient: fromClient)
        if !isV6 {
            self.init(addresses: PackedFlowKey.addresses(sourceAddress, fromClient: fromClient), ports: ports)
            return
        }
        let client = sourceAddress + (fromClient ? 0 : 16)
        let server = sourceAddress + (fromClient ? 16 : 0)
        self.init(
            clientHigh: client.loadUnaligned(as: UInt64.self),
            clientLow: client.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
            serverHigh: server.loadUnaligned(as: UInt64.self),
            serverLow: server.loadUnaligned(fromByteOffset: 8, as: UInt64.self), ports: ports)
    }

    /// `addresses` of an IPv4 packet.
    @inlinable @inline(__always)
    public static func addresses(_ sourceAddress: UnsafeRawPointer, fromClient: Bool) -> UInt64 {
        let both = sourceAddress.loadUnaligned(as: UInt64.self)
        return fromClient ? both : both &>> 32 | both &<< 32
    }

    /// `ports` of an IPv4 packet.
    @inlinable @inline(__always)
    public static func ports(_ portBytes: UnsafeRawPointer, vlan: VLAN, fromClient: Bool) -> UInt64 {
        let pair = portBytes.loadUnaligned(as: UInt32.self)
        return UInt64(fromClient ? pair : pair &>> 16 | pair &<< 16) | UInt64(vlan.value) &<< 32
    }
}
