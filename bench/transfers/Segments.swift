import InterCore
import Wire

/// One segment of every connection, made once; only the client's address and port differ from connection to connection.
struct SegmentTemplate {
    let bytes: [UInt8]
    private let isFromClient: Bool
    private let networkChecksum: UInt16
    private let transportChecksum: UInt16

    static let clientMAC: UInt64 = 0x0200_0000_0001
    static let originMAC: UInt64 = 0x0200_0000_0080
    static let server: UInt32 = 0xC633_6450
    /// Sequence number of the first byte of either side.
    static let firstSequence: UInt32 = 1_000

    private enum Offset {
        static let networkChecksum = 24, source = 26, destination = 30
        static let sourcePort = 34, destinationPort = 36, transportChecksum = 50
    }

    /// - Parameter flags: TCP's, in their byte: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    init(
        isFromClient: Bool, flags: UInt8, sequence: UInt32, acknowledgement: UInt32, options: [UInt8] = [],
        payload: [UInt8] = []
    ) {
        self.isFromClient = isFromClient
        func big(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
            withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) }
        }
        let macs = [Self.clientMAC, Self.originMAC].map { big($0).suffix(6) }
        let headerCount = 20 + options.count
        let addresses = isFromClient ? big(UInt32(0)) + big(Self.server) : big(Self.server) + big(UInt32(0))
        var network: [UInt8] =
            [0x45, 0] + big(UInt16(20 + headerCount + payload.count)) + [0, 0, 0x40, 0, 64, 6, 0, 0]
        network += addresses
        let ports = isFromClient ? big(UInt16(0)) + big(UInt16(80)) : big(UInt16(80)) + big(UInt16(0))
        var transport = ports + big(sequence) + big(acknowledgement) + [UInt8((headerCount / 4) << 4), flags]
        transport += big(UInt16(64_240)) + [0, 0, 0, 0] + options + payload
        func checksum(_ parts: [UInt8]...) -> UInt16 {
            var sum = InternetChecksum()
            for part in parts { part.withUnsafeBytes { sum.add($0.baseAddress!, count: $0.count) } }
            return sum.value
        }
        networkChecksum = checksum(network)
        transportChecksum = checksum(addresses + [0, 6] + big(UInt16(transport.count)), transport)
        bytes = (isFromClient ? macs[1] + macs[0] : macs[0] + macs[1]) + [0x08, 0x00] + network + transport
    }

    /// Writes the segment of the client at `address` and `port`.
    func write(to frame: UnsafeMutableRawPointer, address: UInt32, port: UInt16) {
        bytes.withUnsafeBytes { frame.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        func store(_ value: some FixedWidthInteger, _ offset: Int) {
            frame.storeBytes(of: value.bigEndian, toByteOffset: offset, as: type(of: value))
        }
        store(address, isFromClient ? Offset.source : Offset.destination)
        store(port, isFromClient ? Offset.sourcePort : Offset.destinationPort)
        store(updatedChecksum(networkChecksum, replacing: UInt32(0), with: address), Offset.networkChecksum)
        let sum = updatedChecksum(transportChecksum, replacing: UInt32(0), with: address)
        store(updatedChecksum(sum, replacing: UInt16(0), with: port), Offset.transportChecksum)
    }
}

/// What the generator wants to know of a frame that came out.
struct SeenSegment {
    let toMAC: UInt64
    let flags: UInt8
    let hasPayload: Bool
    /// Which connection it is.
    let number: UInt32

    static let firstPort: UInt16 = 1_024
    static let portBits: UInt32 = 14

    static func address(_ number: UInt32) -> UInt32 { 0x0A00_0000 | number >> portBits }
    static func port(_ number: UInt32) -> UInt16 { firstPort + UInt16(number & (1 << portBits - 1)) }

    init(_ frame: UnsafeRawPointer, fromClient: Bool) {
        func load<Number: FixedWidthInteger>(_ offset: Int, _: Number.Type) -> Number {
            Number(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: Number.self))
        }
        toMAC = load(0, UInt64.self) >> 16
        flags = load(47, UInt8.self)
        let headers = 20 + Int(load(46, UInt8.self) >> 4) * 4
        hasPayload = Int(load(16, UInt16.self)) > headers
        let address = load(fromClient ? 26 : 30, UInt32.self) & 0xFF_FFFF
        let port = load(fromClient ? 34 : 36, UInt16.self)
        number = address << Self.portBits | UInt32(port &- Self.firstPort)
    }
}
