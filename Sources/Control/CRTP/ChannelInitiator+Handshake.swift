extension ChannelInitiator {
    /// INITs with one cookie before it counts as lost with the agent that made it.
    private static var triesWithCookie: Int { 3 }
    /// Answers to CHALLENGEs between two pauses.
    private static var challengeLimit: Int { 3 }
    /// INITs of a handshake beside a session; if none is answered, KEEPALIVE will notice what is wrong.
    private static var triesBesideSession: Int { 4 }

    mutating func beginHandshake(wantsFlows: Bool, now: UInt64) {
        lastTransaction &+= 1
        handshake = Handshake(
            nonce: newNonce(), keyID: keys.current, wantsFlows: wantsFlows, transaction: lastTransaction, retryAt: now)
        sendInitiate(now: now)
    }

    /// As after a farewell: the first INIT comes later.
    mutating func beginHandshakeLater(now: UInt64) {
        lastTransaction &+= 1
        handshake = Handshake(
            nonce: newNonce(), keyID: keys.current, wantsFlows: true, transaction: lastTransaction,
            retryAt: now + 5 * configuration.initiateRetryMicroseconds)
    }

    private mutating func newNonce() -> [UInt8] {
        (0..<MessageCodec.nonceByteCount).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }

    mutating func retryHandshake(now: UInt64) {
        guard var retried = handshake else { return }
        if current != nil, retried.tries >= Self.triesBesideSession {
            handshake = nil
            return
        }
        retried.challengesAnswered = 0
        if retried.cookie != nil, retried.tries % Self.triesWithCookie == 0 {
            retried.cookie = nil
            retried.nonce = newNonce()
        }
        handshake = retried
        sendInitiate(now: now)
    }

    /// Sends INIT with or without cookie; the next one comes after a pause that doubles from try to try, shortened by
    /// up to a quarter so that directors do not keep in step.
    private mutating func sendInitiate(now: UInt64) {
        guard var sending = handshake else { return }
        let pause = min(
            configuration.initiateRetryMicroseconds << UInt64(min(sending.tries, 16)),
            max(configuration.initiateRetryCeilingMicroseconds, configuration.initiateRetryMicroseconds))
        sending.tries += 1
        sending.retryAt = now + pause - UInt64.random(in: 0...pause / 4, using: &random)
        handshake = sending
        transmitInitiate(sending)
    }

    private mutating func transmitInitiate(_ handshake: Handshake) {
        guard let protection = keys.handshake(handshake.keyID, .fromInitiator) else { return }
        var initiate = Initiate(
            nonce: handshake.nonce, cookie: handshake.cookie, epoch: epoch, protection: configuration.protection,
            keepaliveMicroseconds: UInt32(clamping: max(1, configuration.keepaliveMicroseconds)),
            detectMultiplier: UInt8(clamping: max(1, configuration.detectMultiplier)), wantsFlows: handshake.wantsFlows)
        initiate.isForwarder = isForwarder
        initiate.heldKeys = keys.held
        handshakeSequence += 1
        let header = FrameHeader(
            type: MessageType.initiate.rawValue, keyID: handshake.keyID, protection: .authenticated, senderID: senderID,
            session: 0, sequence: handshakeSequence, transaction: handshake.transaction,
            attempt: UInt8(truncatingIfNeeded: handshake.tries))
        let bytes = FrameCodec.encode(
            .initiate(initiate), header: header, protection: protection,
            padTo: min(max(configuration.initiateBytes, 256), FrameHeader.maximumFrame))
        counters.sent += 1
        actions.append(.transmit(bytes, to: peer))
    }

    mutating func receive(_ challenge: Challenge) -> Bool {
        guard var answering = handshake, challenge.nonce == answering.nonce, challenge.cookie != answering.cookie,
            answering.challengesAnswered < Self.challengeLimit
        else { return false }
        answering.cookie = challenge.cookie
        answering.challengesAnswered += 1
        handshake = answering
        transmitInitiate(answering)
        return true
    }

    mutating func receive(_ accept: Accept, keyID: UInt8, now: UInt64) -> Bool {
        guard let answered = handshake, answered.cookie != nil, accept.initiatorNonce == answered.nonce,
            keyID == answered.keyID, accept.protection >= configuration.protection,
            let session = Session(accept, keys: keys, keyID: keyID, senderID: senderID, sends: .fromInitiator)
        else { return false }
        let wasUp = current != nil
        let hasRestarted = agent.map { $0.epoch != accept.agent.epoch } ?? false
        if wasUp && hasRestarted { goDown(.restarted) }
        previous = current
        previousEnds = now + UInt64(configuration.detectMultiplier + 1) * configuration.keepaliveMicroseconds
        current = session
        handshake = nil
        agent = accept.agent
        heldByAgent = accept.heldKeys
        hintAllowedAt = now + configuration.initiateRetryMicroseconds
        outstanding.removeAll()
        // The agent uses the session from the first frame under it on.
        sendKeepalive(now: now)
        if !wasUp || hasRestarted { actions.append(.up(peer: peer, accept.agent)) }
        return true
    }
}
