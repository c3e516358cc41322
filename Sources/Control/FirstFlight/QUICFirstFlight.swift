public import Wire

/// A QUIC client's first datagrams, until its ClientHello is whole. Post-quantum key shares make that longer than one
/// datagram, and clients shuffle its pieces, so any order will do.
public struct QUICFirstFlight: Sendable {
    public enum Reading: Equatable, Sendable {
        /// More datagrams are needed.
        case incomplete
        /// The server's name, as the client wrote it, and the protocols that it offers.
        case named([UInt8], ALPN)
        case unsuitable(Unsuitability)
    }

    /// Datagrams that are read of one client.
    public static var maximumDatagrams: Int { 8 }
    /// Initial packets that are read of one datagram.
    private static var maximumPackets: Int { 4 }

    private var keys: QUICInitialKeys?
    private var version: UInt32 = 0
    private var destination: [UInt8] = []
    private var stream = QUICHandshakeStream()
    private var datagrams = 0

    public init() {}

    /// Reads one more. Packets that cannot be opened, and those of other kinds, are passed over, for the server does
    /// the same; another version or identifier in mid-flight is not understood.
    public mutating func take(_ datagram: UnsafeRawBufferPointer) -> Reading {
        datagrams += 1
        guard datagrams <= Self.maximumDatagrams else { return .unsuitable(.tooLong) }
        var rest = datagram
        for _ in 0..<Self.maximumPackets {
            guard let packet = QUICInitialPacket(rest) else { break }
            guard isOfThisFlight(packet.header, in: rest) else { return .unsuitable(.malformed) }
            if let frames = keys?.open(packet, in: rest), !frames.withUnsafeBytes({ stream.take(frames: $0) }) {
                return .unsuitable(.malformed)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[packet.end...])
        }
        return reading
    }

    /// The first packet says whose flight it is.
    private mutating func isOfThisFlight(_ header: QUICLongHeader, in packet: UnsafeRawBufferPointer) -> Bool {
        if keys == nil {
            version = header.version
            destination = Array(header.destination.of(packet))
            keys = QUICInitialKeys(version: version, destination: destination)
            return keys != nil
        }
        return header.version == version && header.destination.of(packet).elementsEqual(destination)
    }

    private var reading: Reading {
        stream.contiguous.withUnsafeBytes { bytes in
            switch recogniseQUICHandshake(bytes) {
            case .incomplete: .incomplete
            case .unsuitable(let reason): .unsuitable(reason)
            case .request(let request): .named(Array(request.host.of(bytes)), request.alpn)
            }
        }
    }
}
