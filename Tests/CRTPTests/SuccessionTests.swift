import CRTP
import Testing

/// An agent's channels go on in another process.
@Suite struct SuccessionTests {
    private func succeed(_ pair: inout Pair, keys: KeyRing = testKeys, description: AgentDescription) throws {
        var writer = SuccessionWriter()
        pair.responder.succession.write(to: &writer)
        var reader = SuccessionReader(writer.bytes)
        let succession = try ChannelSuccession(from: &reader)
        #expect(reader.isAtEnd)
        #expect(succession == pair.responder.succession)
        var description = description
        description.epoch = succession.epoch
        pair.responder = ChannelResponder(keys: keys, description: description, random: SeededGenerator(99))
        pair.responder.resume(succession)
    }

    @Test(arguments: Protection.allCases) func theDirectorNoticesNothing(_ protection: Protection) throws {
        var configuration = ChannelConfiguration()
        configuration.protection = protection
        var pair = Pair(configuration: configuration, agentConfiguration: configuration)
        pair.start()
        let recorded = pair.initiator.send(Frame(.transfer(transferV4()), transaction: 77))!
        pair.carry(recorded, toAgent: true)
        pair.settle()
        let lastSent = pair.responder.send(Frame(.transferACK, transaction: 77), to: directorEndpoint)!
        pair.carry(lastSent, toAgent: false)
        pair.settle()
        try succeed(&pair, description: describeAgent(epoch: 12_345))
        pair.fromInitiator = []
        pair.fromResponder = []
        // No sequence number is used twice, in either direction.
        let next = pair.responder.send(Frame(.transferACK, transaction: 78), to: directorEndpoint)!
        #expect(next[16..<24].elementsEqual(increased(lastSent[16..<24])))
        pair.carry(recorded, toAgent: true)
        pair.settle()
        #expect(pair.responder.counters.replayed == 1)
        // Frames go both ways, and KEEPALIVE is answered.
        pair.carry(next, toAgent: false)
        let transfer = Frame(.transfer(transferV4()), transaction: 79)
        pair.carry(pair.initiator.send(transfer)!, toAgent: true)
        pair.run(for: 10_000_000)
        #expect(pair.isUp)
        #expect(pair.fromInitiator.contains(.received(Frame(.transferACK, transaction: 78), from: agentEndpoint)))
        #expect(pair.fromResponder == [.received(transfer, from: directorEndpoint)])
        #expect(!pair.fromInitiator.contains { if case .down = $0 { true } else { false } })
    }

    /// Big-endian, one more.
    private func increased(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let number = bytes.reduce(0 as UInt64) { $0 << 8 | UInt64($1) } + 1
        return (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
    }

    @Test func anotherDescriptionOrALostKeyMakesANewSessionOfTheSameEpoch() throws {
        var other = describeAgent()
        other.credits += 1
        let without = KeyRing(keys: [2: testKeys.keys[2]!], current: 2)
        for (keys, description) in [(testKeys, other), (without, describeAgent())] {
            var pair = Pair()
            pair.start()
            try succeed(&pair, keys: keys, description: description)
            #expect(pair.responder.directors.isEmpty)
            #expect(pair.responder.description.epoch == describeAgent().epoch)
            pair.fromInitiator = []
            pair.run(for: 3_000_000)
            if keys == testKeys {
                // The director has made another session, and has not taken the agent for one that has started anew.
                #expect(pair.isUp && pair.initiator.agent == pair.responder.description)
                #expect(!pair.fromInitiator.contains { if case .down(_, .restarted) = $0 { true } else { false } })
            }
        }
    }

    @Test func whatIsCutOrUnknownIsRefused() {
        var pair = Pair()
        pair.start()
        var writer = SuccessionWriter()
        pair.responder.succession.write(to: &writer)
        for count in 0..<writer.bytes.count {
            var reader = SuccessionReader(Array(writer.bytes[..<count]))
            #expect(throws: SuccessionReader.Unreadable.self) { _ = try ChannelSuccession(from: &reader) }
        }
    }

    @Test func aWindowThatGoesOnRefusesAllThatCame() {
        for highest in [1, 2, 62, 63, 64, 65, 127, 128, 1_023, 1_024, 1_087, 1_088, 5_000] as [UInt64] {
            var window = ReplayWindow(after: highest)
            for old in max(1, highest > 1_100 ? highest - 1_100 : 1)...highest {
                let isAdmitted = window.admit(old)
                #expect(!isAdmitted, "\(old) after \(highest)")
            }
            for new in [highest + 3, highest + 1, highest + 2, highest + 600, highest + 599] {
                let isAdmitted = window.admit(new)
                #expect(isAdmitted, "\(new) after \(highest)")
                let isAdmittedAgain = window.admit(new)
                #expect(!isAdmittedAgain)
            }
        }
    }
}
