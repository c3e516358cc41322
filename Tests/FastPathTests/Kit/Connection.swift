import InterCore
import Wire

let request: [UInt8] = Array("GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n".utf8)

/// A scripted TCP connection through a lab: each call sends one segment and lets the director take a turn. Sequence
/// numbers are relative, as packetdrill writes them: 1 is the first byte of either side.
final class Connection {
    let lab: Lab
    let isn: UInt32
    let iss: UInt32
    var v6 = false
    var vlan: UInt16?
    var clientPort: UInt16
    var serverPort: UInt16 = 80
    var timestamps = false
    var clientAddress: UInt8 = 1

    init(_ lab: Lab, port: UInt16 = 40_000, isn: UInt32 = 1_000, iss: UInt32 = 900_000) {
        self.lab = lab
        self.isn = isn
        self.iss = iss
        clientPort = port
    }

    func address(_ last: UInt8) -> [UInt8] {
        v6 ? [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [last] : [10, 0, 0, last]
    }

    var key: FlowKey {
        func ip(_ bytes: [UInt8]) -> IPAddress {
            if !v6 { return IPAddress(v4: bytes.reduce(0) { $0 << 8 | UInt32($1) }) }
            return IPAddress(
                high: bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) },
                low: bytes[8...].reduce(0) { $0 << 8 | UInt64($1) })
        }
        return FlowKey(
            client: ip(address(clientAddress)), clientPort: clientPort, server: ip(address(80)), serverPort: serverPort,
            vlan: vlan.map { VLAN($0) } ?? .untagged)
    }

    func clientSegment(
        _ flags: String, seq: UInt32, ack: UInt32 = 0, _ payload: [UInt8] = [], options: [UInt8]? = nil,
        window: UInt16 = 64_000
    ) -> Segment {
        Segment(
            sourceMAC: Lab.clientMAC, destinationMAC: Lab.originMAC, vlan: vlan, source: address(clientAddress),
            destination: address(80), sourcePort: clientPort, destinationPort: serverPort, sequence: isn &+ seq,
            acknowledgement: flags.contains(".") ? iss &+ ack : 0, flags: flags, window: window,
            options: options ?? (timestamps && !flags.contains("S") ? Options.timestamps(5_000, 7_000) : []),
            payload: payload)
    }

    func serverSegment(
        _ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = [], options: [UInt8]? = nil,
        mac: UInt64 = Lab.originMAC
    ) -> Segment {
        Segment(
            sourceMAC: mac, destinationMAC: Lab.clientMAC, vlan: vlan, source: address(80),
            destination: address(clientAddress), sourcePort: serverPort, destinationPort: clientPort,
            sequence: iss &+ seq, acknowledgement: flags.contains(".") ? isn &+ ack : 0, flags: flags, window: 64_000,
            options: options ?? (timestamps && !flags.contains("S") ? Options.timestamps(7_001, 5_000) : []),
            payload: payload)
    }

    func send(_ segment: Segment, fromClient: Bool) {
        lab.put(segment.frame, fromClient: fromClient)
        lab.turn()
    }

    /// `client("P.", seq: 1, ack: 1, request)`: 0.000 > P. 1:39(38) ack 1
    func client(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = [], options: [UInt8]? = nil) {
        send(clientSegment(flags, seq: seq, ack: ack, payload, options: options), fromClient: true)
    }

    func origin(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = [], options: [UInt8]? = nil) {
        send(serverSegment(flags, seq: seq, ack: ack, payload, options: options), fromClient: false)
    }

    func proxy(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = [], mac: UInt64 = Lab.proxyMAC) {
        send(serverSegment(flags, seq: seq, ack: ack, payload, mac: mac), fromClient: false)
    }

    var synOptions: [UInt8] {
        Options.mss(1_460) + Options.sackPermitted + (timestamps ? Options.timestamps(4_999, 0) : [])
            + Options.windowScale(7)
    }

    /// SYN, SYN/ACK, ACK; what came out on the way is forgotten.
    @discardableResult
    func handshake() -> Connection {
        client("S", seq: 0, options: synOptions)
        origin(
            "S.", seq: 0, ack: 1,
            options: Options.mss(1_460) + Options.sackPermitted
                + (timestamps ? Options.timestamps(7_000, 4_999) : []) + Options.windowScale(8))
        client(".", seq: 1)
        _ = lab.takeToServers()
        _ = lab.takeToClients()
        return self
    }

    /// Up to a held request.
    func hold() -> HeldRequest? {
        handshake()
        client("P.", seq: 1, request)
        return lab.takeHeld()
    }

    /// Up to a committed flow; what came out is forgotten.
    @discardableResult
    func commit(resetOrigin: Bool = true) -> FlowHandle {
        let held = hold()!
        verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: resetOrigin))
        _ = lab.takeToServers()
        _ = lab.takeEvents()
        return held.handle
    }

    func verdict(_ handle: FlowHandle, _ verdict: Verdict) {
        lab.tell(.verdict(handle, verdict))
        lab.turn()
    }
}

extension WorkerEvent {
    var name: String {
        switch self {
        case .requestHeld: "held"
        case .requestObserved: "observed"
        case .datagramHeld: "datagram held"
        case .datagramObserved: "datagram observed"
        case .identifierLearnt: "identifier learnt"
        case .committed: "committed"
        case .aborted(_, let reason): "aborted \(reason)"
        case .moved: "moved"
        case .moveRefused: "stays"
        case .requestRepeated: "request repeated"
        case .handOffOver: "hand-off over"
        case .flowEnded(_, let end): "ended \(end)"
        case .flowInstalled: "installed"
        case .flowRefused: "refused"
        case .proxyUnused: "proxy unused"
        case .flowWanted: "flow wanted"
        case .pathNarrowed(_, let mtu): "path narrowed to \(mtu)"
        case .rulesInForce: "rules in force"
        case .virtualServersInForce: "virtual servers in force"
        case .flow: "flow"
        case .flowCount: "flow count"
        case .endOfFlows: "end of flows"
        }
    }
}
