import CRTP
import Testing
import Wire

/// Frames that no session protects, as an agent takes them.
@Suite struct HandOffTests {
    private let start: UInt64 = 1_700_000_000_000_000

    private func sender(_ id: UInt32 = 42, keys: KeyRing = testKeys) throws -> HandOffSender {
        var random = SystemRandomNumberGenerator()
        return try #require(HandOffSender(keys: keys, senderID: id, random: &random))
    }

    /// An agent whose monotonic clock was 0 at `start`, and that no director has opened a channel to.
    private func agent() -> ChannelResponder {
        var responder = ChannelResponder(keys: testKeys, description: describeAgent())
        responder.setClock(start, now: 0)
        return responder
    }

    private func frame(at time: UInt64, _ transaction: UInt32 = 7) -> Frame {
        Frame(.handOff(transferV4(), sentAt: time), transaction: transaction)
    }

    private func received(_ responder: inout ChannelResponder) -> [Frame] {
        defer { responder.actions = [] }
        return responder.actions.compactMap { action in
            if case .received(let frame, let peer) = action, peer == directorEndpoint { frame } else { nil }
        }
    }

    @Test func itIsTakenWithoutAChannelAndOnce() throws {
        var (sender, agent) = (try sender(), agent())
        let frame = frame(at: start + 5)
        let datagram = sender.send(frame)
        agent.receive(datagram, from: directorEndpoint, now: 10)
        let first = received(&agent)
        #expect(first == [frame] && agent.counters.accepted == 1)
        agent.receive(datagram, from: directorEndpoint, now: 20)
        let again = received(&agent)
        #expect(again == [] && agent.counters.replayed == 1 && agent.counters.sent == 0)
    }

    @Test func whatIsTooOldOrFromTheFutureIsNot() throws {
        var (sender, agent) = (try sender(), agent())
        let now: UInt64 = 100_000_000
        for (offset, isTaken) in [
            (-30_000_001, false), (-30_000_000, true), (0, true), (30_000_000, true), (30_000_001, false),
        ] {
            let frame = frame(at: UInt64(Int(start + now) + offset))
            agent.receive(sender.send(frame), from: directorEndpoint, now: now)
            let taken = received(&agent)
            #expect(taken == (isTaken ? [frame] : []), "\(offset)")
        }
        #expect(agent.counters.replayed == 2 && agent.counters.accepted == 3)
    }

    /// What a former agent of this host may have taken, the window being gone with it.
    @Test func whatWasSentBeforeTheAgentsStartIsNotTaken() throws {
        var (sender, agent) = (try sender(), agent())
        agent.receive(sender.send(frame(at: start - 1)), from: directorEndpoint, now: 1_000)
        agent.setClock(start + 2_000, now: 2_000)
        agent.receive(sender.send(frame(at: start - 1)), from: directorEndpoint, now: 3_000)
        let taken = received(&agent)
        #expect(taken == [] && agent.counters.replayed == 2)
    }

    @Test func withoutAClockNothingIsTaken() throws {
        var sender = try sender()
        var agent = ChannelResponder(keys: testKeys, description: describeAgent())
        agent.receive(sender.send(frame(at: 5)), from: directorEndpoint, now: 5)
        let taken = received(&agent)
        #expect(taken == [] && agent.counters.replayed == 1)
    }

    @Test func everyBitCounts() throws {
        var (sender, agent) = (try sender(), agent())
        let good = sender.send(frame(at: start))
        for position in good.indices {
            var spoilt = good
            spoilt[position] ^= 1
            agent.receive(spoilt, from: directorEndpoint, now: 0)
        }
        let strangers = KeyRing(keys: [1: [UInt8](repeating: 9, count: 32)], current: 1)
        var stranger = try self.sender(keys: strangers)
        agent.receive(stranger.send(frame(at: start)), from: directorEndpoint, now: 0)
        let taken = received(&agent)
        #expect(taken == [] && agent.counters.accepted == 0)
        agent.receive(good, from: directorEndpoint, now: 0)
        let first = received(&agent)
        #expect(first.count == 1)
    }

    /// Sixty-four at once; whoever has been silent for so long that all its frames are too old leaves room.
    @Test func sendersAreBounded() throws {
        var agent = agent()
        for id in 0..<65 as Range<UInt32> {
            var sender = try sender(id)
            agent.receive(sender.send(frame(at: start)), from: directorEndpoint, now: 0)
        }
        #expect(agent.counters.accepted == 64 && agent.counters.refused == 1)
        var late = try sender(99)
        let now: UInt64 = 60_000_001
        agent.receive(late.send(frame(at: start + now)), from: directorEndpoint, now: now)
        #expect(agent.counters.accepted == 65)
    }

    @Test func anotherKeyIsForgotten() throws {
        var (sender, agent) = (try sender(), agent())
        agent.receive(sender.send(frame(at: start)), from: directorEndpoint, now: 0)
        agent.replaceKeys(KeyRing(keys: [2: testKeys.keys[2]!], current: 2), now: 0)
        agent.receive(sender.send(frame(at: start)), from: directorEndpoint, now: 0)
        #expect(agent.counters.accepted == 1 && agent.counters.unknownKey == 1)
    }

    @Test func aWeakerOneThanTheAgentWantsIsNotTaken() throws {
        var agent = agent()
        let protection = try #require(
            KeySchedule(testKeys).handOff(senderID: 42, session: 9, keyID: 1, protection: .authenticated))
        let message = frame(at: start).message
        let header = FrameHeader(
            type: message.type.rawValue, keyID: 1, protection: .authenticated, senderID: 42, session: 9, sequence: 1,
            transaction: 7, attempt: 0)
        let readable = FrameCodec.encode(message, header: header, protection: protection)
        agent.receive(readable, from: directorEndpoint, now: 0)
        #expect(agent.counters.malformed == 1 && agent.counters.accepted == 0)
        var configuration = ChannelConfiguration()
        configuration.protection = .authenticated
        var other = ChannelResponder(keys: testKeys, description: describeAgent(), configuration: configuration)
        other.setClock(start, now: 0)
        other.receive(readable, from: directorEndpoint, now: 0)
        #expect(other.counters.accepted == 1)
    }
}
