internal import CRTP
internal import Logging
internal import Wire

/// Connections that a server of this host gets by replay. The replayer shakes hands with it, so what an adoption by repair
/// answers at once comes a little later here, as a notice.
extension ControlLoop {
    func replay(_ number: UInt64, _ transfer: Transfer, _ now: UInt64) {
        guard transfer.isHeld else { return _ = ledger.decided(number, nil, now: now) }
        // What has come of the request by another way than the connection cannot be said to a server.
        guard !transfer.isAcknowledged else { return _ = ledger.decided(number, .policy, now: now) }
        guard services.replayer?.send(.replay(number: number, transfer.connection)) == true else {
            logger.debug("no replayer", metadata: ["transfer": "\(ledger.transaction(of: number))"])
            return _ = ledger.decided(number, .resource, now: now)
        }
        replayed.insert(number)
    }

    /// From the replayer.
    func take(_ message: ReplayMessage, _ now: UInt64) {
        switch message {
        case .ready(let number):
            guard replayed.contains(number) else { return cancel(number) }
            guard let connection = ledger.connection(of: number), ledger.decided(number, nil, now: now) else {
                replayed.remove(number)
                return cancel(number)
            }
            logger.info(
                "replayed",
                metadata: ["transfer": "\(ledger.transaction(of: number))", "flow": "\(connection.key)"])
        case .refused(let number):
            guard replayed.remove(number) != nil else { return }
            logger.info("not replayed", metadata: ["transfer": "\(ledger.transaction(of: number))"])
            _ = ledger.decided(number, .resource, now: now)
        case .begun(let number):
            let transaction = ledger.transaction(of: number)
            ledger.committed(number)
            logger.info("committed", metadata: ["transfer": "\(transaction)"])
        case .ended(let number):
            replayed.remove(number)
            // The server's own log says how much it has sent.
            ledger.ended(number, bytesSent: 0, now: now)
        case .hello, .replay, .cancel: break
        }
    }

    /// Undoes what `replay` began; false when it is no replay.
    func forgetReplay(_ number: UInt64) -> Bool {
        guard replayed.remove(number) != nil else { return false }
        cancel(number)
        return true
    }

    /// Without it nothing is translated any more: its connections are over.
    func replayerIsGone(_ now: UInt64) {
        for number in replayed {
            if ledger.isDeciding(number) {
                _ = ledger.decided(number, .resource, now: now)
            } else {
                ledger.ended(number, bytesSent: 0, now: now)
            }
        }
        replayed.removeAll()
    }

    private func cancel(_ number: UInt64) { _ = services.replayer?.send(.cancel(number: number)) }
}
