internal import CRTP
internal import FirstFlight
package import InterCore
internal import Wire

// Flows of UDP datagrams: the name that their first datagrams tell is asked about like any request. From then on a
// transfer is one like the others, but that the agent has nothing to adopt.
extension ControlCore {
    package mutating func read(
        _ datagram: HeldDatagram, isHeld: Bool, payload: UnsafeRawBufferPointer, now: UInt64
    ) {
        let reading =
            isHeld
            ? flights.read(datagram, payload, limit: pendingLimit) : FirstFlights.readAlone(datagram, payload)
        switch reading {
        case .incomplete, .decided: break
        case .unreadable: decline(request(of: datagram), isHeld, .unreadable, now)
        case .named(let name, let alpn):
            name.withUnsafeBytes {
                decide(request(of: datagram, name: name, alpn: alpn), isHeld: isHeld, payload: $0, now: now)
            }
        }
    }

    /// The name is the whole of such a request.
    private func request(of datagram: HeldDatagram, name: [UInt8] = [], alpn: ALPN = []) -> HeldRequest {
        let connection = ConnectionState(
            key: datagram.key, psn: SequenceNumber(0), pan: SequenceNumber(0), clientWindow: 0,
            serverWindowEdge: SequenceNumber(0), options: NegotiatedOptions(clientMSS: 0, serverMSS: 0), timeToLive: 0)
        return HeldRequest(
            handle: datagram.handle, connection: connection,
            request: RecognisedRequest(
                application: datagram.application, headLength: name.count, host: ByteRange(count: name.count),
                alpn: alpn),
            rules: datagram.rules, rulesGeneration: datagram.rulesGeneration, recognisedAt: datagram.heldAt,
            heldLength: UInt32(name.count),
            payloadLength: UInt16(name.count))
    }

    /// The worker has given the held datagrams away. A DNS query is over with that.
    package mutating func settled(_ handle: FlowHandle, isCommitted: Bool, now: UInt64) {
        flights.forget(handle)
        guard isCommitted, let slot = transfers.slot(handle: handle),
            transfers[slot].isOfOneDatagram
        else { return }
        drive(slot: slot, .flowEnded(.flowDone), now: now)
    }

    /// What one worker has learnt of a server's connection identifiers, all others are told.
    package mutating func spread(_ identifier: ConnectionIdentifier, from worker: Int) {
        for other in 0..<workerCount where other != worker {
            actions.append(.command(.learnIdentifier(identifier), worker: other))
        }
    }
}
