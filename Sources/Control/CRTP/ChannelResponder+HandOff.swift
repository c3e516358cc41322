public import Wire

// Connections that a director hands over without asking, by one frame that no session protects.
extension ChannelResponder {
    /// This host's clock: by it the age of a hand-off is judged. None is taken before it has been told.
    public mutating func setClock(_ microsecondsSince1970: UInt64, now: UInt64) {
        handOffs.setClock(microsecondsSince1970, now: now)
    }

    /// Never answered: who sent it is known by the key alone, and no session could carry the answer.
    mutating func receiveHandOff(_ datagram: [UInt8], _ header: FrameHeader, from source: Endpoint, now: UInt64) {
        guard header.session != 0, header.protection >= configuration.protection else { return counters.malformed += 1 }
        switch handOffs.open(datagram, header, keys: keys, now: now) {
        case .unknownKey: counters.unknownKey += 1
        case .unauthenticated: counters.unauthenticated += 1
        case .replayed: counters.replayed += 1
        case .refused: counters.refused += 1
        case .body(let body):
            guard case .message(let message, _) = FrameCodec.decode(header, body: body) else {
                return counters.badMessage += 1
            }
            counters.accepted += 1
            let frame = Frame(message, transaction: header.transaction, attempt: header.attempt)
            actions.append(.received(frame, from: source))
        }
    }
}
