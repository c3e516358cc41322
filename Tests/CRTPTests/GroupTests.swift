import CRTP
import Testing
import Wire

/// A director's group, seen by its members and by strangers.
@Suite struct GroupTests {
    private let group = Endpoint(IPAddress("239.192.0.1")!, port: 7_443)

    private func sender() throws -> GroupSender {
        var random = SystemRandomNumberGenerator()
        return try #require(
            GroupSender(endpoint: group, keys: testKeys, senderID: 42, protection: .sealed, random: &random))
    }

    /// A channel that is up, whose agent listens to the group.
    private func pair(_ sender: GroupSender, listens: Bool = true) -> (ChannelInitiator, ChannelResponder) {
        var initiator = ChannelInitiator(peer: agentEndpoint, keys: testKeys, senderID: 42, epoch: 1)
        var responder = ChannelResponder(keys: testKeys, description: describeAgent())
        if listens { responder.groups = [group] }
        initiator.group = sender.description
        initiator.start(now: 0)
        for _ in 0..<10 {
            for case .transmit(let bytes, _) in initiator.actions {
                responder.receive(bytes, from: directorEndpoint, now: 0)
            }
            initiator.actions = []
            for case .transmit(let bytes, _) in responder.actions { initiator.receive(bytes, now: 0) }
            if case .status = initiator.actions.last { break }
            responder.actions = []
        }
        return (initiator, responder)
    }

    private func isMember(_ initiator: ChannelInitiator) -> Bool {
        initiator.actions.contains { action in
            if case .status(let status, _) = action { status.isInGroup } else { false }
        }
    }

    private func received(_ responder: inout ChannelResponder) -> [Frame] {
        defer { responder.actions = [] }
        return responder.actions.compactMap { action in
            if case .received(let frame, let peer) = action, peer == directorEndpoint { frame } else { nil }
        }
    }

    @Test func oneFrameReachesEveryMember() throws {
        var sender = try sender()
        var members = (0..<3).map { _ in pair(sender) }
        #expect(members.allSatisfy { isMember($0.0) })
        let frame = Frame(.transfer(transferV4()), transaction: 7, attempt: 1)
        let datagram = sender.send(frame)
        for index in members.indices {
            members[index].1.actions = []
            members[index].1.receiveFromGroup(datagram, now: 0)
            let first = received(&members[index].1)
            #expect(first == [frame])
            // Played back, it is nothing.
            members[index].1.receiveFromGroup(datagram, now: 0)
            let second = received(&members[index].1)
            #expect(second == [] && members[index].1.counters.replayed == 1)
        }
    }

    @Test func whoDoesNotListenIsNoMember() throws {
        let sender = try sender()
        #expect(!isMember(pair(sender, listens: false).0))
    }

    @Test func nothingButItsDirectorsTransfersCounts() throws {
        var sender = try sender()
        var (_, responder) = pair(sender)
        responder.actions = []
        let good = sender.send(Frame(.transfer(transferV4()), transaction: 7))
        for position in [1, 6, 7, 9, 13, 20, 40, good.count - 1] {
            var spoilt = good
            spoilt[position] ^= 1
            responder.receiveFromGroup(spoilt, now: 0)
        }
        responder.receiveFromGroup(Array(good.dropLast()), now: 0)
        // What a group is not for, though its director says it.
        responder.receiveFromGroup(
            sender.send(Frame(.keepalive(Keepalive(algorithm: .roundRobin)), transaction: 8)), now: 0)
        let terminate = Terminate(cause: .administrative, transfer: 0, psn: SequenceNumber(0))
        responder.receiveFromGroup(sender.send(Frame(.terminate(terminate), transaction: 9)), now: 0)
        // Another start of the director: another session, that no KEEPALIVE has named.
        var other = try self.sender()
        responder.receiveFromGroup(other.send(Frame(.transfer(transferV4()), transaction: 10)), now: 0)
        #expect(responder.actions.isEmpty && responder.counters.unknownSession >= 1)
        // The group's frame is nothing to the unicast session, and the other way round.
        responder.receive(good, from: directorEndpoint, now: 0)
        let misplaced = received(&responder)
        responder.receiveFromGroup(good, now: 0)
        let placed = received(&responder)
        #expect(misplaced == [] && placed.count == 1)
    }

    @Test func keepaliveCarriesTheGroup() throws {
        var keepalive = Keepalive(algorithm: .multicast)
        keepalive.group = try sender().description
        var body: [UInt8] = []
        MessageCodec.encode(.keepalive(keepalive), into: &body)
        #expect(body.count == 8 + 4 + 40 && body.count == MessageCodec.byteCount(.keepalive(keepalive)))
        let decoded = body.withUnsafeBytes { MessageCodec.decode(type: 5, session: 1, body: $0) }
        #expect(decoded == .message(.keepalive(keepalive), detail: 0))
        for (position, value) in [(12 + 19, 9), (12 + 20, 0)] as [(Int, UInt8)] {
            var wrong = body
            wrong[position] = value
            if value == 0 { for index in 0..<4 { wrong[position + index] = 0 } }
            #expect(wrong.withUnsafeBytes { MessageCodec.decode(type: 5, session: 1, body: $0) } == .malformed)
        }
    }
}
