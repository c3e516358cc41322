import InterCore
import Testing
import Wire

/// A client of a virtual server, at `10.0.0.80:80` or its IPv6 twin, through a lab. Numbers are relative, each side's as it
/// has them: the client's view of the server begins at the cookie, an origin's at its own.
final class VirtualClient {
    static let originMAC: UInt64 = 0x0200_0000_00A1
    static let portMAC: UInt64 = 0x0200_0000_00DC

    let lab: Lab
    let v6: Bool
    var vlan: UInt16?
    var port: UInt16 = 40_000
    var isn: UInt32 = 0xFFFF_FFF0
    /// TSval, if it has timestamps; with them SACK and a window scale.
    var clock: UInt32?
    /// What the SYN/ACK said.
    private(set) var cookie: UInt32 = 0
    private(set) var told: UInt32 = 0

    init(_ lab: Lab, v6: Bool = false, clock: UInt32? = nil) {
        self.lab = lab
        self.v6 = v6
        self.clock = clock
    }

    static func address(_ last: UInt8, v6: Bool) -> [UInt8] {
        v6 ? [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [last] : [10, 0, 0, last]
    }

    static func ip(_ last: UInt8, v6: Bool) -> IPAddress {
        v6 ? IPAddress(high: 0x2001_0DB8 << 32, low: UInt64(last)) : IPAddress(v4: 0x0A00_0000 | UInt32(last))
    }

    /// Two virtual servers, one of each family, with `origins` of their own each, at .161 and on.
    static func serve(
        _ configuration: inout WorkerConfiguration, origins count: Int = 2, offer: HandshakeOffer = linux
    ) {
        for (index, v6) in [false, true].enumerated() {
            let range = index * count..<(index + 1) * count
            configuration.virtualServers.append(
                VirtualServer(Endpoint(ip(80, v6: v6), port: 80), offer: offer, origins: range))
            for number in 0..<count {
                configuration.origins.append(
                    Origin(
                        Endpoint(ip(UInt8(161 + number), v6: v6), port: 8_080),
                        hop: NextHop(mac: MACAddress(originMAC + UInt64(number)))))
            }
        }
        configuration.cookieSecret = CookieSecret(low: 0x1234_5678, high: 0x9ABC_DEF0)
        configuration.timestampOffset = 77_777
    }

    static let linux = HandshakeOffer(windowScale: 7, sack: true, timestamps: true)

    func segment(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = []) -> Segment {
        let options =
            flags.contains("S")
            ? Options.mss(1_460)
                + (clock.map { Options.sackPermitted + Options.timestamps($0, 0) + Options.windowScale(9) } ?? [])
            : clock.map { Options.timestamps($0, told) } ?? []
        return Segment(
            sourceMAC: Lab.clientMAC, destinationMAC: Self.portMAC, vlan: vlan, source: Self.address(1, v6: v6),
            destination: Self.address(80, v6: v6), sourcePort: port, destinationPort: 80, sequence: isn &+ seq,
            acknowledgement: flags.contains(".") ? cookie &+ ack : 0, flags: flags, window: 1_000, options: options,
            payload: payload)
    }

    func send(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = []) {
        lab.put(segment(flags, seq: seq, ack: ack, payload).frame, fromClient: true)
        lab.turn()
    }

    /// SYN; gives the SYN/ACK.
    @discardableResult
    func open() -> Segment? {
        send("S", seq: 0)
        guard let answer = lab.takeToClients().last, answer.flags == "S." else { return nil }
        cookie = answer.sequence
        if clock != nil { told = answer.timestamps?.value ?? 0 }
        return answer
    }

    /// SYN and ACK.
    func handshake() {
        open()
        send(".", seq: 1)
    }

    func hold() -> HeldRequest? {
        handshake()
        send("P.", seq: 1, request)
        return lab.takeHeld()
    }

    func verdict(_ handle: FlowHandle, _ verdict: Verdict) {
        lab.tell(.verdict(handle, verdict))
        lab.turn()
    }

    /// Up to the SYN that an origin gets.
    func refused() throws -> Segment {
        let held = try #require(hold())
        _ = lab.takeToServers()
        verdict(held.handle, .origin)
        return try #require(lab.takeToServers().last)
    }
}

/// An origin that a director has sent a SYN to.
struct OriginSide {
    let lab: Lab
    let syn: Segment
    var iss: UInt32 = 0x7000_0000
    var clock: UInt32 = 500
    var options: [UInt8]?

    init(_ lab: Lab, _ syn: Segment) {
        self.lab = lab
        self.syn = syn
    }

    func segment(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = []) -> Segment {
        var echo: [UInt8] = []
        if let theirs = syn.timestamps, options == nil { echo = Options.timestamps(clock, theirs.value) }
        let synOptions =
            options ?? Options.mss(1_460)
            + (syn.timestamps == nil ? [] : Options.sackPermitted + echo + Options.windowScale(5))
        return Segment(
            sourceMAC: syn.destinationMAC, destinationMAC: syn.sourceMAC, vlan: syn.vlan, source: syn.destination,
            destination: syn.source, sourcePort: syn.destinationPort, destinationPort: syn.sourcePort,
            sequence: iss &+ seq, acknowledgement: flags.contains(".") ? syn.sequence &+ ack : 0, flags: flags,
            window: 2_000, options: flags.contains("S") ? synOptions : echo, payload: payload)
    }

    func send(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = []) {
        lab.put(segment(flags, seq: seq, ack: ack, payload).frame, fromClient: false)
        lab.turn()
    }
}

extension Segment {
    var timestamps: (value: UInt32, echo: UInt32)? {
        func long(_ offset: Int) -> UInt32 { options[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        var offset = 0
        while offset < options.count {
            if options[offset] == 8 { return (long(offset + 2), long(offset + 6)) }
            offset += options[offset] == 1 ? 1 : Int(options[offset + 1])
        }
        return nil
    }
}
