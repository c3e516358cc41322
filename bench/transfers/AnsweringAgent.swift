import CRTP
import DequeModule
import Wire

/// An agent that takes every connection: the real channel, and nothing behind it.
struct AnsweringAgent {
    let endpoint: Endpoint
    private var responder: ChannelResponder
    /// Connections, oldest first.
    private var adopted: Deque<(transfer: UInt32, psn: SequenceNumber)> = []
    private var transaction: UInt32 = 0x8000_0000

    init(endpoint: Endpoint, keys: KeyRing, protection: Protection) {
        self.endpoint = endpoint
        var configuration = ChannelConfiguration()
        configuration.protection = protection
        responder = ChannelResponder(
            keys: keys,
            description: AgentDescription(
                name: "agent", mac: MACAddress(0x0200_0000_00F0), epoch: 1, credits: 1_000_000,
                capabilities: [.ipv4, .ipv6, .timestamps, .sack, .windowScale, .http]),
            configuration: configuration)
        responder.status = AgentStatus(credits: 1_000_000)
    }

    /// A datagram of the director's came; what it is answered with goes into `answers`.
    mutating func receive(_ datagram: [UInt8], from director: Endpoint, now: UInt64, into answers: inout [[UInt8]]) {
        responder.receive(datagram, from: director, now: now)
        for action in responder.actions {
            switch action {
            case .transmit(let answer, _): answers.append(answer)
            case .up: send(Frame(.flowInformationEnd(count: 0), transaction: 1), to: director, &answers)
            case .received(let frame, _):
                guard case .transfer(let transfer) = frame.message else { continue }
                adopted.append((frame.transaction, transfer.connection.psn))
                send(
                    Frame(.transferACK, transaction: frame.transaction, attempt: frame.attempt), to: director, &answers)
            case .down, .status: break
            }
        }
        responder.actions.removeAll(keepingCapacity: true)
    }

    /// Says of all connections but the latest ones that they are over.
    mutating func endOldest(keeping count: Int, to director: Endpoint, _ answers: inout [[UInt8]]) {
        while adopted.count > count {
            let (transfer, psn) = adopted.removeFirst()
            transaction &+= 1
            let done = Terminate(cause: .flowDone, transfer: transfer, psn: psn, bytesSent: 10_000)
            send(Frame(.terminate(done), transaction: transaction), to: director, &answers)
        }
    }

    private mutating func send(_ frame: Frame, to director: Endpoint, _ answers: inout [[UInt8]]) {
        if let datagram = responder.send(frame, to: director) { answers.append(datagram) }
    }
}
