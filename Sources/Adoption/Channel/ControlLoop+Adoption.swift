internal import CRTP
import Glibc
internal import Logging
internal import Wire

extension ControlLoop {
    func consult(_ number: UInt64, _ transfer: Transfer, _ expires: UInt64, _ now: UInt64) {
        if let blob = transfer.blob { return consult(number, transfer, blob, expires, now) }
        let judgement = TransferJudgement(transfer, services.catalogue)
        switch judgement {
        case .refuse(let reason):
            logger.debug(
                "transfer refused",
                metadata: [
                    "transfer": "\(ledger.transaction(of: number))", "flow": "\(transfer.connection.key)",
                    "reason": "\(reason)",
                ])
            _ = ledger.decided(number, reason, now: now)
        case .askCache(let cache, let question):
            asked[number] = (transfer, expires)
            services.askCache(number, cache, question, expires)
        case .take, .replay:
            if monotonicMicroseconds() >= expires {
                _ = ledger.decided(number, .expired, now: now)
            } else if judgement == .replay {
                replay(number, transfer, now)
            } else {
                adopt(number, transfer, now)
            }
        }
    }

    func adopt(_ number: UInt64, _ transfer: Transfer, _ now: UInt64) {
        guard transfer.isHeld else {
            _ = ledger.decided(number, nil, now: now)
            return
        }
        if transfer.application.isOverUDP {
            // Nothing to adopt: the datagrams come, and a server of this host has them.
            let transaction = ledger.transaction(of: number)
            _ = ledger.decided(number, nil, now: now)
            logger.info(
                "datagrams taken",
                metadata: ["transfer": "\(transaction)", "flow": "\(transfer.connection.key)"])
            return
        }
        do throws(AdoptionFailure) {
            // It goes on behind what the client knows to have arrived.
            let descriptor = try adopt(transfer, behind: transfer.isAcknowledged ? transfer.request.count : 0)
            guard ledger.decided(number, nil, now: now) else {
                services.adopter.forget(descriptor)
                return
            }
            waiting.add(number, descriptor)
            logger.info(
                "adopted",
                metadata: [
                    "transfer": "\(ledger.transaction(of: number))",
                    "connection": "\(String(transfer.connectionID, radix: 16))",
                    "flow": "\(transfer.connection.key)",
                ])
        } catch {
            logger.warning(
                "cannot adopt",
                metadata: [
                    "transfer": "\(ledger.transaction(of: number))", "flow": "\(transfer.connection.key)",
                    "error": "\(error)",
                ])
            _ = ledger.decided(number, error.reason, now: now)
        }
    }

    /// The director has given the connection away unasked: it goes on behind the request, which is served.
    func takeOver(_ number: UInt64, _ transfer: Transfer, _ now: UInt64) {
        let metadata: Logger.Metadata = [
            "transfer": "\(ledger.transaction(of: number))",
            "connection": "\(String(transfer.connectionID, radix: 16))", "flow": "\(transfer.connection.key)",
        ]
        do throws(AdoptionFailure) {
            let descriptor = try adopt(transfer, behind: transfer.request.count)
            guard ledger.takenOver(number, nil, now: now) else { return services.adopter.forget(descriptor) }
            logger.info("taken over unasked", metadata: metadata)
            begin(number, descriptor, received: transfer.request)
        } catch {
            _ = ledger.takenOver(number, error.reason, now: now)
            logger.warning("cannot take over", metadata: metadata.merging(["error": "\(error)"]) { $1 })
        }
    }

    /// A socket that goes on behind so many bytes of the request.
    private func adopt(_ transfer: Transfer, behind count: Int) throws(AdoptionFailure) -> CInt {
        var connection = transfer.connection
        connection.psn = connection.psn + UInt32(count)
        let descriptor = try services.adopter.adopt(connection)
        setTrafficClass(of: descriptor, transfer)
        return descriptor
    }

    /// Marks what the connection will send, as the rule wishes. Without it the connection is served all the same.
    func setTrafficClass(of descriptor: CInt, _ transfer: Transfer) {
        guard let trafficClass = transfer.requirements.trafficClass else { return }
        do {
            let field = CInt(trafficClass) << 2
            if transfer.connection.key.client.isV4 {
                try setOption(descriptor, CInt(IPPROTO_IP), IP_TOS, field, "IP_TOS")
            } else {
                try setOption(descriptor, CInt(IPPROTO_IPV6), IPV6_TCLASS, field, "IPV6_TCLASS")
            }
        } catch {
            logger.warning("no traffic class", metadata: ["class": "\(trafficClass)", "error": "\(error)"])
        }
    }

    /// Something has happened on an uncommitted socket: the request, or the client's end.
    func firstByte(_ number: UInt64, _ descriptor: CInt) {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, CInt(MSG_PEEK) | CInt(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        _ = waiting.remove(number)
        // A client that has ended its side still wants an answer to what it has asked.
        guard count > 0 || count == 0 && ledger.comesOver(number) else {
            blobs.arrivals[number] = nil
            services.adopter.forget(descriptor)
            ledger.ended(number, bytesSent: 0, now: monotonicMicroseconds())
            logger.info(
                "client left before its request came", metadata: ["transfer": "\(ledger.transaction(of: number))"])
            return
        }
        begin(number, descriptor)
    }

    /// The connection is this agent's. `received`: what came of the request by another way than the connection.
    func begin(_ number: UInt64, _ descriptor: CInt, received: [UInt8]? = nil) {
        let arrival = blobs.arrivals.removeValue(forKey: number)
        guard let connection = ledger.connection(of: number) else { return services.adopter.forget(descriptor) }
        do {
            try services.adopter.commit(descriptor)
        } catch {
            logger.error(
                "cannot commit", metadata: ["transfer": "\(ledger.transaction(of: number))", "error": "\(error)"])
        }
        let transaction = ledger.transaction(of: number)
        ledger.committed(number)
        logger.info("committed", metadata: ["transfer": "\(transaction)"])
        var adopted = AdoptedConnection(
            number: number, descriptor: descriptor, key: connection.key, transaction: transaction)
        adopted.received = received ?? ledger.received(of: number)
        adopted.mayComeBack = ledger.mayComeBack(number)
        if let arrival {
            adopted.received = arrival.received
            adopted.resumption = arrival.resumption
        }
        services.serve(adopted)
    }
}

extension AdoptionFailure {
    /// As directors are told of it.
    var reason: NACKReason {
        switch self {
        case .tupleInUse: .tupleInUse
        case .noRoute: .noRoute
        case .resource: .resource
        case .refused: .policy
        case .system: .internalError
        }
    }
}
