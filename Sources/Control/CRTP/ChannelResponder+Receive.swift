public import Wire

extension ChannelResponder {
    /// A datagram came.
    public mutating func receive(_ datagram: [UInt8], from source: Endpoint, now: UInt64) {
        counters.received += 1
        switch datagram.withUnsafeBytes(FrameHeader.parse) {
        case .malformed: counters.malformed += 1
        case .badVersion(_, let isError):
            counters.badVersion += 1
            guard !isError else { return }
            let unreadable = FrameHeader(
                type: 0, keyID: keys.current, protection: .authenticated, senderID: 0, session: 0, sequence: 0,
                transaction: 0, attempt: 0)
            refuse(.badVersion, about: 0, unreadable, size: datagram.count, to: source, now: now)
        case .header(let header):
            if MessageType(rawValue: header.type)?.isHandshake ?? false {
                receiveHandshake(datagram, header, from: source, now: now)
            } else if header.type == MessageType.handOff.rawValue {
                receiveHandOff(datagram, header, from: source, now: now)
            } else {
                receiveInSession(datagram, header, from: source, now: now)
            }
        }
    }

    /// An ERROR outside a session: never for an ERROR, never longer than what it answers, never often.
    private mutating func refuse(
        _ code: ErrorCode, about session: UInt32, _ header: FrameHeader, size: Int, to source: Endpoint, now: UInt64
    ) {
        guard header.type != MessageType.error.rawValue, refusals.take(now: now),
            let bytes = seal(.error(code), detail: session, session: 0, answering: header), bytes.count <= size
        else { return }
        counters.sent += 1
        actions.append(.transmit(bytes, to: source))
    }

    // MARK: in a session

    private enum Place { case waiting, current, previous }

    private func place(of session: UInt32) -> (index: Int, place: Place)? {
        for index in entries.indices {
            if entries[index].current?.session.id == session { return (index, .current) }
            if entries[index].waiting?.session.id == session { return (index, .waiting) }
            if entries[index].previous?.id == session { return (index, .previous) }
        }
        return nil
    }

    func find(session: UInt32) -> Int? { place(of: session)?.index }

    private mutating func receiveInSession(
        _ datagram: [UInt8], _ header: FrameHeader, from source: Endpoint, now: UInt64
    ) {
        guard let (index, place) = place(of: header.session), entries[index].endpoint == source else {
            counters.unknownSession += 1
            return refuse(.badSession, about: header.session, header, size: datagram.count, to: source, now: now)
        }
        let opening =
            switch place {
            case .waiting: entries[index].waiting?.session.open(datagram, header)
            case .current: entries[index].current?.session.open(datagram, header)
            case .previous: entries[index].previous?.open(datagram, header)
            }
        switch opening ?? .malformed {
        case .malformed: counters.malformed += 1
        case .unauthenticated: counters.unauthenticated += 1
        case .replayed: counters.replayed += 1
        case .body(let body):
            if place == .waiting { confirm(index, now: now) }
            if let patience = entries[index].current?.patienceMicroseconds { entries[index].silentAt = now + patience }
            receive(FrameCodec.decode(header, body: body), header, director: entries[index].endpoint)
        }
    }

    /// The director has used the session that waited: now it is the director's.
    private mutating func confirm(_ index: Int, now: UInt64) {
        guard let confirmed = entries[index].waiting else { return }
        let endpoint = entries[index].endpoint
        let old = entries[index].current
        let hasRestarted = old.map { $0.initiate.epoch != confirmed.initiate.epoch } ?? false
        entries[index].waiting = nil
        entries[index].current = confirmed
        entries[index].previous = hasRestarted ? nil : old?.session
        entries[index].previousEnds = now + confirmed.patienceMicroseconds
        if hasRestarted { actions.append(.down(peer: endpoint, .restarted)) }
        if old == nil || hasRestarted || confirmed.initiate.wantsFlows { actions.append(.up(peer: endpoint, nil)) }
    }

    mutating func receive(_ body: DecodedBody, _ header: FrameHeader, director: Endpoint) {
        switch body {
        case .message(let message, _):
            let frame = Frame(message, transaction: header.transaction, attempt: header.attempt)
            if receive(frame, director: director) { counters.accepted += 1 } else { counters.unexpected += 1 }
        case .ignored: counters.accepted += 1
        case .badTLV(let type):
            counters.badMessage += 1
            let isTransfer = header.type == MessageType.transfer.rawValue
            let message: Message =
                isTransfer ? .transferNACK(.badTLV, retryAfterMilliseconds: 0) : .error(.badMessage)
            answer(message, detail: UInt32(type), header, director: director)
        case .malformed, .unknownType:
            counters.badMessage += 1
            answer(.error(.badMessage), detail: UInt32(header.type), header, director: director)
        }
    }

    /// False when the frame makes no sense here.
    private mutating func receive(_ frame: Frame, director: Endpoint) -> Bool {
        switch frame.message {
        case .keepalive(let keepalive):
            var status = status
            status.isInGroup = follow(keepalive.group, of: director)
            status.heldKeys = keys.held
            let answer = Frame(.keepaliveResponse(status), transaction: frame.transaction, attempt: frame.attempt)
            if let bytes = send(answer, to: director) { actions.append(.transmit(bytes, to: director)) }
            return true
        case .terminate(let terminate):
            guard terminate.cause == .administrative else {
                actions.append(.received(frame, from: director))
                return true
            }
            let answer = Frame(.terminateResponse, transaction: frame.transaction, attempt: frame.attempt)
            if let bytes = send(answer, to: director) { actions.append(.transmit(bytes, to: director)) }
            entries.removeAll { $0.endpoint == director }
            actions.append(.down(peer: director, .administrative))
            return true
        case .error: return true
        case .initiate, .challenge, .accept, .keepaliveResponse, .handOff: return false
        case .transfer, .transferACK, .transferNACK, .firstByte, .terminateResponse, .flowInformation,
            .flowInformationEnd, .flowQuery, .flowUnknown, .blob, .blobReceipt:
            actions.append(.received(frame, from: director))
            return true
        }
    }

    private mutating func answer(_ message: Message, detail: UInt32, _ header: FrameHeader, director: Endpoint) {
        guard header.type != MessageType.error.rawValue,
            let index = entries.firstIndex(where: { $0.endpoint == director }),
            let bytes = entries[index].current?.session.seal(
                Frame(message, transaction: header.transaction, attempt: header.attempt), detail: detail)
        else { return }
        counters.sent += 1
        actions.append(.transmit(bytes, to: director))
    }
}
