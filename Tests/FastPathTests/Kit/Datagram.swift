import FastPath
import InterCore
import Wire

/// A UDP datagram in a frame, as a value; frames by `Segment`'s own code.
struct Datagram: Equatable {
    var sourceMAC: UInt64
    var destinationMAC: UInt64
    var vlan: UInt16?
    var source: [UInt8]
    var destination: [UInt8]
    var sourcePort: UInt16
    var destinationPort: UInt16
    var payload: [UInt8]
    var isChecksumRight = true

    private var envelope: Segment {
        Segment(
            sourceMAC: sourceMAC, destinationMAC: destinationMAC, vlan: vlan, source: source, destination: destination,
            sourcePort: sourcePort, destinationPort: destinationPort)
    }

    var frame: [UInt8] {
        let length = UInt16(8 + payload.count)
        var bytes = Segment.big(sourcePort) + Segment.big(destinationPort) + Segment.big(length) + [0, 0] + payload
        let pseudo = source + destination + Segment.big(UInt16(17)) + Segment.big(length)
        var checksum = ~UInt16(Segment.sum(pseudo + bytes))
        if !isChecksumRight { checksum ^= 0x5555 }
        bytes.replaceSubrange(6..<8, with: Segment.big(checksum))
        var frame = envelope.ethernet + envelope.network(bytes.count, protocol: 17) + bytes
        if frame.count < 60 { frame += [UInt8](repeating: 0, count: 60 - frame.count) }
        return frame
    }

    /// Reads a frame that `frame` could have made; nil for another protocol.
    init?(frame: [UInt8]) {
        func word(_ offset: Int) -> UInt16 { UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1]) }
        destinationMAC = frame[0..<6].reduce(0) { $0 << 8 | UInt64($1) }
        sourceMAC = frame[6..<12].reduce(0) { $0 << 8 | UInt64($1) }
        var offset = 14
        if word(12) == 0x8100 {
            vlan = word(14)
            offset = 18
        }
        let isV6 = word(offset - 2) == 0x86DD
        guard frame[offset + (isV6 ? 6 : 9)] == 17 else { return nil }
        source = Array(frame[(offset + (isV6 ? 8 : 12))...].prefix(isV6 ? 16 : 4))
        destination = Array(frame[(offset + (isV6 ? 24 : 16))...].prefix(isV6 ? 16 : 4))
        let start = offset + (isV6 ? 40 : 20)
        sourcePort = word(start)
        destinationPort = word(start + 2)
        payload = Array(frame[(start + 8)..<(start + Int(word(start + 4)))])
    }

    init(
        sourceMAC: UInt64, destinationMAC: UInt64, vlan: UInt16?, source: [UInt8], destination: [UInt8],
        sourcePort: UInt16, destinationPort: UInt16, payload: [UInt8]
    ) {
        self.sourceMAC = sourceMAC
        self.destinationMAC = destinationMAC
        self.vlan = vlan
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.payload = payload
    }
}

/// A client of a UDP service through a lab: each call sends one datagram and lets the director take a turn.
final class DatagramFlow {
    let lab: Lab
    var v6 = false
    var vlan: UInt16?
    var clientPort: UInt16 = 40_000
    var serverPort: UInt16

    init(_ lab: Lab, serverPort: UInt16 = 443) {
        self.lab = lab
        self.serverPort = serverPort
    }

    private func address(_ last: UInt8) -> [UInt8] {
        v6 ? [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [last] : [10, 0, 0, last]
    }

    func client(_ payload: [UInt8], isChecksumRight: Bool = true) {
        var datagram = Datagram(
            sourceMAC: Lab.clientMAC, destinationMAC: Lab.originMAC, vlan: vlan, source: address(1),
            destination: address(80), sourcePort: clientPort, destinationPort: serverPort, payload: payload)
        datagram.isChecksumRight = isChecksumRight
        lab.put(datagram.frame, fromClient: true)
        lab.turn()
    }

    func server(_ payload: [UInt8], mac: UInt64 = Lab.proxyMAC) {
        let datagram = Datagram(
            sourceMAC: mac, destinationMAC: Lab.clientMAC, vlan: vlan, source: address(80), destination: address(1),
            sourcePort: serverPort, destinationPort: clientPort, payload: payload)
        lab.put(datagram.frame, fromClient: false)
        lab.turn()
    }

    func verdict(_ handle: FlowHandle, _ verdict: Verdict) {
        lab.tell(.verdict(handle, verdict))
        lab.turn()
    }

    /// A client's first datagram, up to the commit to proxy 0; what came out is forgotten.
    @discardableResult
    func commit(_ payload: [UInt8] = QUICPackets.initial()) -> FlowHandle? {
        client(payload)
        guard let held = lab.takeHeldDatagrams().first else { return nil }
        verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        _ = lab.takeDatagramsToServers()
        _ = lab.takeEvents()
        return held.handle
    }
}

/// Packets as far as anybody but the two ends can tell them apart.
enum QUICPackets {
    static let original: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    static let chosen: [UInt8] = [0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8]

    static func long(
        _ first: UInt8 = 0xC3, version: [UInt8] = [0, 0, 0, 1], to destination: [UInt8] = original,
        from source: [UInt8] = [9, 9, 9, 9], size: Int = 1_200
    ) -> [UInt8] {
        let header =
            [first] + version + [UInt8(destination.count)] + destination + [UInt8(source.count)] + source + [0]
        return header + [UInt8](repeating: 0x5A, count: max(0, size - header.count))
    }

    static func initial(to destination: [UInt8] = original, size: Int = 1_200) -> [UInt8] {
        long(to: destination, size: size)
    }

    static func short(to destination: [UInt8] = chosen, size: Int = 60) -> [UInt8] {
        [0x43] + destination + [UInt8](repeating: 0x6B, count: size - destination.count - 1)
    }
}

extension Lab {
    func takeDatagramsToServers() -> [Datagram] {
        defer { toServers = [] }
        return toServers.compactMap { Datagram(frame: $0) }
    }

    func takeDatagramsToClients() -> [Datagram] {
        defer { toClients = [] }
        return toClients.compactMap { Datagram(frame: $0) }
    }

    func takeHeldDatagrams() -> [HeldDatagram] {
        takeEvents().compactMap { event in
            if case .datagramHeld(let held) = event { held } else { nil }
        }
    }

    static func watching(_ configuration: inout WorkerConfiguration) {
        var quic = CandidateRule()
        (quic.firstPort, quic.lastPort) = (443, 443)
        quic.applications = .quic
        var dns = CandidateRule()
        (dns.firstPort, dns.lastPort) = (53, 53)
        dns.applications = .dns
        configuration.candidates += [quic, dns]
        configuration.datagramFlowCapacity = 64
    }
}
