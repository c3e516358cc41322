public import Control
import Foundation
public import InterCore
public import Wire

/// A capture under way: packets of the workers and frames of the channel become blocks of a file, which an operator takes
/// in pages. In bounds: so many packets, bytes and seconds in all, so much that waits to be taken; nobody waits for it.
public struct CaptureSession: Sendable {
    public let capture: UInt32
    public let request: CaptureRequest
    /// Why it has ended; nil while it goes on.
    public private(set) var ended: String?

    /// A TSC reading and the nanoseconds since 1970 at that moment.
    public struct Clock: Sendable {
        var timestamp: UInt64
        var hertz: UInt64
        var nanoseconds: UInt64

        public init(timestamp: UInt64, hertz: UInt64, nanoseconds: UInt64) {
            (self.timestamp, self.hertz, self.nanoseconds) = (timestamp, hertz, nanoseconds)
        }

        func nanoseconds(at time: UInt64) -> UInt64 {
            let ticks = Double(Int64(bitPattern: time &- timestamp))
            return UInt64(Int64(nanoseconds) + Int64(ticks / Double(hertz) * 1e9))
        }
    }

    private enum Waiting {
        case packet(CapturedPacket, [UInt8])
        case datagram([UInt8], from: Endpoint, to: Endpoint, isOwn: Bool, timestamp: UInt64)

        var timestamp: UInt64 {
            switch self {
            case .packet(let packet, _): packet.timestamp
            case .datagram(_, _, _, _, let timestamp): timestamp
            }
        }

        var serial: UInt64 {
            switch self {
            case .packet(let packet, _): packet.serial
            case .datagram: .max
            }
        }
    }

    private let clock: Clock
    private let endsAt: UInt64
    private var file = CaptureFile()
    private var waiting: [Waiting] = []
    /// By interface.
    private var received: [UInt64]
    /// Time of the last packet.
    private var latest: UInt64
    private var packets = 0
    private var written = 0
    /// Packets for which the room for what waits was full.
    private var unwritten: UInt64 = 0
    /// Lost packets, and how many of them the file has told of.
    private var lost: UInt64 = 0
    private var lostTold: UInt64 = 0
    private var readAt: UInt64

    /// Bytes that may wait to be taken, and of one page.
    package static var roomBytes: Int { 4 << 20 }
    package static var pageBytes: Int { 256 << 10 }
    /// A capture whose blocks nobody takes ends by itself.
    package static var patienceMicroseconds: UInt64 { 10_000_000 }

    /// - Parameters:
    ///   - sides: the ports on either side, as configured.
    ///   - now: microseconds of the monotonic clock, as everywhere below.
    public init(
        capture: UInt32, _ request: CaptureRequest, sides: (client: String, server: String), application: String,
        clock: Clock, now: UInt64
    ) {
        self.capture = capture
        self.request = request
        self.clock = clock
        latest = clock.nanoseconds
        received = [UInt64](repeating: 0, count: request.includesCRTP ? 3 : 2)
        readAt = now
        endsAt = now + UInt64(request.seconds) * 1_000_000
        file.section(application: application)
        let (filter, snap) = (request.summary, Int(request.order.snapLength))
        file.interface(
            name: "client", description: "clients' side: \(sides.client)", filter: filter, link: .ethernet,
            snapLength: snap)
        file.interface(
            name: "server", description: "servers' side: \(sides.server)", filter: filter, link: .ethernet,
            snapLength: snap)
        if request.includesCRTP {
            file.interface(
                name: "crtp", description: "the control channel, headers made anew", filter: filter, link: .rawIP,
                snapLength: 2_048)
        }
        written = file.bytes.count
    }

    // MARK: what comes

    public mutating func note(_ packet: CapturedPacket, _ frame: UnsafeRawBufferPointer) {
        guard packet.capture == capture, ended == nil else { return }
        waiting.append(.packet(packet, Array(frame)))
    }

    /// A frame of the control channel; `isOwn`: this director sends it. `timestamp`: TSC.
    public mutating func note(
        datagram: [UInt8], from: Endpoint, to: Endpoint, isOwn: Bool, timestamp: UInt64
    ) {
        guard request.includesCRTP, ended == nil, waiting.count < 4_096 else { return }
        waiting.append(.datagram(datagram, from: from, to: to, isOwn: isOwn, timestamp: timestamp))
    }

    /// Writes what came, with what the control core knows of it by now.
    /// - Parameter lost: packets that workers could not give, since the capture began.
    public mutating func settle(_ core: ControlCore, lost: UInt64, now: UInt64) {
        self.lost = lost + unwritten
        waiting.sort { ($0.timestamp, $0.serial) < ($1.timestamp, $1.serial) }
        for entry in waiting where ended == nil { write(entry, core) }
        waiting.removeAll(keepingCapacity: true)
        if now >= endsAt { end("after \(request.seconds) s") }
        if now >= readAt + Self.patienceMicroseconds { end("nobody took its blocks") }
    }

    private mutating func write(_ entry: Waiting, _ core: ControlCore) {
        guard file.bytes.count < Self.roomBytes else {
            unwritten += 1
            lost += 1
            return
        }
        let before = file.bytes.count
        let nanoseconds = clock.nanoseconds(at: entry.timestamp)
        latest = max(latest, nanoseconds)
        switch entry {
        case .packet(let packet, let frame):
            received[packet.isClientSide ? 0 : 1] += 1
            file.packet(
                interface: packet.isClientSide ? 0 : 1, nanoseconds: nanoseconds, bytes: frame,
                length: Int(packet.length), comment: packet.comment(core),
                direction: packet.verdict.isOwn ? .outbound : .inbound, dropped: lost - lostTold)
        case .datagram(let datagram, let from, let to, let isOwn, _):
            received[2] += 1
            let frame = capturedDatagram(datagram, from: from, to: to)
            file.packet(
                interface: 2, nanoseconds: nanoseconds, bytes: frame, length: frame.count, comment: "",
                direction: isOwn ? .outbound : .inbound, dropped: lost - lostTold)
        }
        lostTold = lost
        packets += 1
        written += file.bytes.count - before
        if packets >= request.packets { end("after \(request.packets) packets") }
        if written >= request.bytes { end("after \(request.bytes) bytes") }
    }

    // MARK: what is taken

    /// The first reason counts. The file's last blocks say how much it lacks.
    public mutating func end(_ reason: String) {
        guard ended == nil else { return }
        ended = reason
        for (interface, count) in received.enumerated() {
            // Which side the lost ones belonged to is not known.
            file.statistics(
                interface: interface, nanoseconds: latest, received: count, dropped: interface == 0 ? lost : 0)
        }
    }

    public mutating func read(now: UInt64) -> CapturePage {
        readAt = now
        let blocks = file.take(limit: Self.pageBytes)
        return CapturePage(
            blocks: Data(blocks).base64EncodedString(), hasMore: !file.bytes.isEmpty, packets: packets, lost: lost,
            ended: ended)
    }

    /// Ended, and nothing of it is wanted any more.
    public func isOver(now: UInt64) -> Bool {
        ended != nil && (file.bytes.isEmpty || now >= readAt + 2 * Self.patienceMicroseconds)
    }
}

extension CaptureRequest {
    /// The filter in words; `everything` without one.
    package var summary: String {
        var parts: [String] = []
        if order.client.length > 0 { parts.append("client \(order.client)") }
        if order.clientPort > 0 { parts.append("client port \(order.clientPort)") }
        if order.server.length > 0 { parts.append("server \(order.server)") }
        if order.serverPort > 0 { parts.append("port \(order.serverPort)") }
        if let proxy { parts.append("proxy \(proxy)") }
        return parts.isEmpty ? "everything" : parts.joined(separator: " and ")
    }
}
