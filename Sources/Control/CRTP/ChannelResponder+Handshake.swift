import Wire

extension ChannelResponder {
    mutating func receiveHandshake(_ datagram: [UInt8], _ header: FrameHeader, from source: Endpoint, now: UInt64) {
        guard header.protection == .authenticated, header.session == 0 else { return counters.malformed += 1 }
        guard let protection = keys.handshake(header.keyID, .fromInitiator) else { return counters.unknownKey += 1 }
        guard let body = protection.open(datagram, sequence: header.sequence) else {
            return counters.unauthenticated += 1
        }
        switch FrameCodec.decode(header, body: body) {
        case .message(.initiate(let initiate), _):
            guard let answer = answer(initiate, header, from: source, now: now), answer.count <= datagram.count else {
                return counters.refused += 1
            }
            counters.accepted += 1
            counters.sent += 1
            actions.append(.transmit(answer, to: source))
        case .message: counters.unexpected += 1
        case .ignored, .unknownType, .badTLV, .malformed: counters.badMessage += 1
        }
    }

    private mutating func answer(
        _ initiate: Initiate, _ header: FrameHeader, from source: Endpoint, now: UInt64
    ) -> [UInt8]? {
        let hasGoodCookie =
            initiate.cookie.map {
                cookies.isGood(
                    $0, from: source, senderID: header.senderID, nonce: initiate.nonce, now: now,
                    lifetime: configuration.cookieLifetimeMicroseconds)
            } ?? false
        guard hasGoodCookie else {
            let cookie = cookies.cookie(for: source, senderID: header.senderID, nonce: initiate.nonce, now: now)
            return seal(.challenge(Challenge(nonce: initiate.nonce, cookie: cookie)), session: 0, answering: header)
        }
        guard let accept = accept(initiate, header, from: source, now: now) else { return nil }
        return seal(.accept(accept), session: accept.session, answering: header)
    }

    /// The session for an INIT with a good cookie. The same INIT again gives the same session: it may have been
    /// sent twice, or be a recording, and neither must replace anything.
    private mutating func accept(
        _ initiate: Initiate, _ header: FrameHeader, from source: Endpoint, now: UInt64
    ) -> Accept? {
        let known = entries.firstIndex { $0.endpoint == source }
        if let known {
            let entry = entries[known]
            for negotiated in [entry.waiting, entry.current] {
                if let negotiated, negotiated.initiate.nonce == initiate.nonce,
                    negotiated.session.keyID == header.keyID
                {
                    return negotiated.accept
                }
            }
        }
        let nonce = (0..<MessageCodec.nonceByteCount).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        var accept = Accept(
            session: newSessionID(), initiatorNonce: initiate.nonce, nonce: nonce,
            protection: max(initiate.protection, configuration.protection), agent: description)
        accept.heldKeys = keys.held
        guard
            let session = Session(
                accept, keys: keys, keyID: header.keyID, senderID: header.senderID, sends: .fromResponder)
        else { return nil }
        let negotiated = Negotiated(session: session, initiate: initiate, accept: accept)
        if let known {
            entries[known].waiting = negotiated
        } else {
            guard entries.count < configuration.maximumDirectors else { return nil }
            entries.append(
                Director(endpoint: source, waiting: negotiated, silentAt: now + negotiated.patienceMicroseconds))
        }
        return accept
    }

    private mutating func newSessionID() -> UInt32 {
        while true {
            let id = UInt32.random(in: 1 ... .max, using: &random)
            if find(session: id) == nil { return id }
        }
    }

    /// A frame under the handshake's key of the asked frame's key id, or of the current one if that is not known.
    mutating func seal(
        _ message: Message, detail: UInt32 = 0, session: UInt32, answering header: FrameHeader
    ) -> [UInt8]? {
        let keyID = keys.has(header.keyID) ? header.keyID : keys.current
        guard let protection = keys.handshake(keyID, .fromResponder) else { return nil }
        handshakeSequence += 1
        let answer = FrameHeader(
            type: message.type.rawValue, keyID: keyID, protection: .authenticated, senderID: header.senderID,
            session: session, sequence: handshakeSequence, transaction: header.transaction, attempt: header.attempt)
        return FrameCodec.encode(message, detail: detail, header: answer, protection: protection)
    }
}
