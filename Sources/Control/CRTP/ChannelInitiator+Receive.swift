extension ChannelInitiator {
    /// A datagram came from `peer`.
    public mutating func receive(_ datagram: [UInt8], now: UInt64) {
        counters.received += 1
        switch datagram.withUnsafeBytes(FrameHeader.parse) {
        case .malformed: counters.malformed += 1
        case .badVersion: counters.badVersion += 1
        case .header(let header):
            // An ERROR without a session is the agent's word on a frame that it could not place.
            let isHandshake = MessageType(rawValue: header.type)?.isHandshake ?? false
            if isHandshake || header.session == 0 {
                receiveOutsideSession(datagram, header, now: now)
            } else {
                receiveInSession(datagram, header, now: now)
            }
        }
    }

    // MARK: outside sessions

    private mutating func receiveOutsideSession(_ datagram: [UInt8], _ header: FrameHeader, now: UInt64) {
        guard header.protection == .authenticated else { return counters.malformed += 1 }
        guard let protection = keys.handshake(header.keyID, .fromResponder) else { return counters.unknownKey += 1 }
        guard let body = protection.open(datagram, sequence: header.sequence) else {
            return counters.unauthenticated += 1
        }
        guard case .message(let message, let detail) = FrameCodec.decode(header, body: body) else {
            return counters.badMessage += 1
        }
        let isExpected =
            switch message {
            case .challenge(let challenge): receive(challenge)
            case .accept(let accept): receive(accept, keyID: header.keyID, now: now)
            case .error(let code): receive(code, about: detail, now: now)
            case .initiate, .keepalive, .keepaliveResponse, .transfer, .transferACK, .transferNACK, .firstByte,
                .handOff, .terminate, .terminateResponse, .flowInformation, .flowInformationEnd, .flowQuery,
                .flowUnknown, .blob, .blobReceipt:
                false
            }
        if isExpected { counters.accepted += 1 } else { counters.unexpected += 1 }
    }

    /// BAD_SESSION can be a recording, played back: it is only a hint, upon which a handshake begins beside the
    /// session. If the agent has lost the session, the handshake ends with a new one; if not, nothing has happened.
    private mutating func receive(_ code: ErrorCode, about session: UInt32, now: UInt64) -> Bool {
        lastError = code
        switch code {
        case .badVersion, .badMessage: return true
        case .badSession:
            guard let current, current.id == session, handshake == nil, now >= hintAllowedAt else { return false }
            hintAllowedAt = now + configuration.initiateRetryMicroseconds
            beginHandshake(wantsFlows: false, now: now)
            return true
        }
    }

    // MARK: in a session

    private mutating func receiveInSession(_ datagram: [UInt8], _ header: FrameHeader, now: UInt64) {
        let opening: Session.Opening
        if header.session == current?.id {
            opening = current?.open(datagram, header) ?? .malformed
        } else if header.session == previous?.id {
            opening = previous?.open(datagram, header) ?? .malformed
        } else {
            return counters.unknownSession += 1
        }
        switch opening {
        case .malformed: counters.malformed += 1
        case .unauthenticated: counters.unauthenticated += 1
        case .replayed: counters.replayed += 1
        case .body(let body):
            switch FrameCodec.decode(header, body: body) {
            case .message(let message, _):
                let frame = Frame(message, transaction: header.transaction, attempt: header.attempt)
                if receive(frame, now: now) { counters.accepted += 1 } else { counters.unexpected += 1 }
            case .ignored: counters.accepted += 1
            case .badTLV, .malformed, .unknownType:
                counters.badMessage += 1
                answer(.error(.badMessage), header)
            }
        }
    }

    /// False when the frame makes no sense here.
    private mutating func receive(_ frame: Frame, now: UInt64) -> Bool {
        switch frame.message {
        case .keepaliveResponse(let status):
            guard let index = outstanding.firstIndex(where: { $0.transaction == frame.transaction }) else {
                return false
            }
            let sentAt = outstanding[index].sentAt
            outstanding.removeSubrange(...index)
            heldByAgent = status.heldKeys
            actions.append(.status(status, roundTripMicroseconds: now >= sentAt ? now - sentAt : 0))
            return true
        case .error(let code):
            lastError = code
            return true
        case .terminate(let terminate):
            guard terminate.cause == .administrative else {
                actions.append(.received(frame, from: peer))
                return true
            }
            if let bytes = send(Frame(.terminateResponse, transaction: frame.transaction, attempt: frame.attempt)) {
                actions.append(.transmit(bytes, to: peer))
            }
            goDown(.administrative)
            beginHandshakeLater(now: now)
            return true
        case .initiate, .challenge, .accept, .keepalive, .handOff: return false
        case .transfer, .transferACK, .transferNACK, .firstByte, .terminateResponse, .flowInformation,
            .flowInformationEnd, .flowQuery, .flowUnknown, .blob, .blobReceipt:
            actions.append(.received(frame, from: peer))
            return true
        }
    }

    private mutating func answer(_ message: Message, _ header: FrameHeader) {
        guard header.type != MessageType.error.rawValue,
            let bytes = send(Frame(message, transaction: header.transaction, attempt: header.attempt))
        else { return }
        actions.append(.transmit(bytes, to: peer))
    }
}
