public import Wire

/// A UDP endpoint on an Ethernet port that no kernel has: it makes and reads whole frames, answers whoever asks for its
/// address, and finds its peers, who must all be on the same wire. Pure: time and frames come in, frames go out.
public struct EthernetEndpoint: Sendable {
    /// A specific address; all peers are of its family.
    public let address: Endpoint
    public let mac: MACAddress
    public let vlan: VLAN
    private let hops: UInt8
    private var neighbors = Neighbors()
    private var outgoing: [[UInt8]] = []
    /// Datagrams that could not be sent: too long for the wire, of another family, or to more peers than there is room for.
    public private(set) var unsendable: UInt64 = 0

    /// Answers to questions since the last `takeFrames`.
    private var answers = 0
    /// Whoever asks more often in one turn is not answered: what has to be sent comes first.
    private static var mostAnswers: Int { 16 }

    /// Bytes of an IP packet that the wire takes.
    public static var mtu: Int { 1_500 }

    /// - Parameter groupHops: TTL or hop limit of what goes to multicast groups.
    public init(_ address: Endpoint, mac: MACAddress, vlan: VLAN = .untagged, groupHops: UInt8 = 1) {
        self.address = address
        self.mac = mac
        self.vlan = vlan
        hops = groupHops
    }

    /// The frames that are to be transmitted since the last call, in order.
    public mutating func takeFrames() -> [[UInt8]] {
        defer { outgoing.removeAll(keepingCapacity: true) }
        answers = 0
        return outgoing
    }

    /// `now` in microseconds of a clock that does not go back.
    public mutating func send(_ datagram: [UInt8], to peer: Endpoint, now: UInt64) {
        let isV6 = !address.address.isV4
        guard peer.address.isV4 != isV6, datagram.count + 8 + (isV6 ? 40 : 20) <= Self.mtu else {
            unsendable += 1
            return
        }
        let isGroup = peer.address.isMulticast
        func frame(_ destination: MACAddress) -> [UInt8] {
            UDPFrame.bytes(
                datagram, from: address, at: mac, to: peer, at: destination, vlan: vlan, hops: isGroup ? hops : 64)
        }
        if isGroup { return outgoing.append(frame(.ofGroup(peer.address))) }
        let (way, asks) = neighbors.way(to: peer.address, frame(.zero), now: now)
        if asks {
            let question = NeighborMessage(.question, subject: peer.address, sender: address.address, senderMAC: mac)
            outgoing.append(question.frame(vlan: vlan))
        }
        switch way {
        case .to(let destination): outgoing.append(frame(destination))
        case .unknown: break
        case .noRoom: unsendable += 1
        }
    }

    /// A frame that came: the datagram in it, if it is a whole one for this endpoint. Questions are answered, answers noted.
    public mutating func receive(
        _ frame: UnsafeRawBufferPointer, now: UInt64
    ) -> (datagram: [UInt8], from: Endpoint)? {
        guard let start = frame.baseAddress, frame.count >= 34 else { return nil }
        let layout = PacketLayout(of: start, length: frame.count)
        guard layout.vlan == vlan else { return nil }
        if layout.kind == .udp { return datagram(start, layout) }
        guard let message = NeighborMessage(of: start, length: frame.count) else { return nil }
        if message.kind == .question, message.subject == address.address { answer(message) }
        if let waiting = neighbors.learn(
            message.kind == .answer ? message.subject : message.sender, at: message.senderMAC, now: now)
        {
            outgoing.append(waiting)
        }
        return nil
    }

    private func datagram(_ frame: UnsafeRawPointer, _ layout: PacketLayout) -> (datagram: [UInt8], from: Endpoint)? {
        guard layout.destination(frame, ipHeader: Int(layout.network)) == address.address,
            frame.wire16(Int(layout.transport) + 2) == address.port, layout.hasValidChecksum(frame)
        else { return nil }
        let payload = UnsafeRawBufferPointer(
            start: frame + Int(layout.payload), count: Int(layout.payloadLength))
        let sender = Endpoint(
            layout.source(frame, ipHeader: Int(layout.network)), port: frame.wire16(Int(layout.transport)))
        return ([UInt8](payload), sender)
    }

    private mutating func answer(_ question: NeighborMessage) {
        guard answers < Self.mostAnswers else { return }
        answers += 1
        let answer = NeighborMessage(.answer, subject: address.address, sender: address.address, senderMAC: mac)
        outgoing.append(answer.frame(to: (question.sender, question.senderMAC), vlan: vlan))
    }
}
