public import Wire

// A director's multicast group: one TRANSFER for all members. Its session is announced inside the unicast session, in
// KEEPALIVE; answers are unicast.
extension ChannelResponder {
    /// A datagram came to a group. What cannot be placed is not answered: many would.
    public mutating func receiveFromGroup(_ datagram: [UInt8], now: UInt64) {
        counters.received += 1
        guard case .header(let header) = datagram.withUnsafeBytes(FrameHeader.parse),
            header.type == MessageType.transfer.rawValue
        else { return counters.malformed += 1 }
        guard let index = entries.firstIndex(where: { $0.group?.description.session == header.session }),
            entries[index].current != nil
        else { return counters.unknownSession += 1 }
        switch entries[index].group?.open(datagram, header) ?? .malformed {
        case .malformed: counters.malformed += 1
        case .unauthenticated: counters.unauthenticated += 1
        case .replayed: counters.replayed += 1
        case .body(let body):
            receive(FrameCodec.decode(header, body: body), header, director: entries[index].endpoint)
        }
    }

    /// KEEPALIVE names a group, or none. True when this agent is a member of it from now on.
    mutating func follow(_ group: GroupDescription?, of director: Endpoint) -> Bool {
        guard let index = entries.firstIndex(where: { $0.endpoint == director }),
            let senderID = entries[index].current?.session.senderID
        else { return false }
        guard let group, groups.contains(group.endpoint) else {
            entries[index].group = nil
            return false
        }
        // The same group goes on, and with it what has come.
        if entries[index].group?.description != group {
            entries[index].group = GroupReceiver(group, keys: keys, senderID: senderID)
        }
        return entries[index].group != nil
    }
}
