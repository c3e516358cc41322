import Adoption
import CRTP
import Testing
import Wire

/// What an agent tells forwarders: of every connection, whoever gave it, as soon as it begins, and when it ends.
@Suite struct ForwarderLedgerTests {
    private let director = Endpoint("10.0.0.2:7270")!
    private let forwarders = [Endpoint("10.0.0.31:7270")!, Endpoint("10.0.0.32:7270")!]
    private var ledger = TransferLedger()

    private func key(_ port: UInt16) -> FlowKey {
        FlowKey(client: IPAddress("10.0.0.1")!, clientPort: port, server: IPAddress("10.0.0.80")!, serverPort: 80)
    }

    private mutating func commit(_ port: UInt16, number: UInt64, generation: UInt16 = 0) {
        _ = told()
        let connection = ConnectionState(
            key: key(port), psn: SequenceNumber(1_000), pan: SequenceNumber(5), clientWindow: 1,
            serverWindowEdge: SequenceNumber(0),
            options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460))
        var transfer = Transfer(connection: connection, request: [])
        transfer.generation = generation
        transfer.mayComeBack = true
        ledger.receive(Frame(.transfer(transfer), transaction: UInt32(port)), from: director, now: 0)
        _ = ledger.decided(number, nil, now: 0)
        #expect(told().allSatisfy { !forwarders.contains($0.director) }, "before the request has come")
        ledger.committed(number)
    }

    private mutating func told() -> [(message: Message, director: Endpoint, transaction: UInt32)] {
        defer { ledger.actions = [] }
        return ledger.actions.compactMap { action in
            guard case .send(let frame, let director) = action else { return nil }
            return (frame.message, director, frame.transaction)
        }
    }

    private func information(_ port: UInt16, _ number: UInt32, generation: UInt32 = 0) -> Message {
        .flowInformation(
            key(port), transfer: number, label: FlowLabel(identifier: number + 1, generation: generation))
    }

    @Test mutating func aConnectionIsAnnouncedAsSoonAsItBegins() {
        ledger.up(director)
        for forwarder in forwarders { ledger.up(forwarder, isForwarder: true) }
        _ = told()
        commit(9, number: 1, generation: 3)
        let heard = told()
        #expect(heard.map(\.message) == [Message](repeating: information(9, 1, generation: 3), count: 2))
        #expect(Set(heard.map(\.director)) == Set(forwarders))
        // Its end is told to whoever gave it, by the transfer, and to the others by their number; each until it answers.
        ledger.ended(1, bytesSent: 7, now: 0)
        let ends = told()
        #expect(ends.count == 3 && ends[0].director == director)
        for end in ends {
            guard case .terminate(let terminate) = end.message else {
                Issue.record("\(end)")
                continue
            }
            #expect(terminate.cause == .flowDone && terminate.transfer == (end.director == director ? 9 : 1))
        }
        for end in ends[..<2] {
            ledger.receive(Frame(.terminateResponse, transaction: end.transaction), from: end.director, now: 0)
        }
        ledger.advance(to: 1_000_000)
        #expect(told().map(\.director) == [ends[2].director])
    }

    /// One that starts later, or anew, hears of all that there are.
    @Test mutating func aForwarderThatStartsIsToldOfAll() {
        ledger.up(director)
        for port in 1...3 as ClosedRange<UInt16> { commit(port, number: UInt64(port)) }
        _ = told()
        ledger.up(forwarders[0], isForwarder: true)
        let heard = told()
        #expect(heard.count == 4 && heard.allSatisfy { $0.director == forwarders[0] })
        #expect(
            heard.dropLast().allSatisfy { message in (1...3).contains { message.message == information($0, UInt32($0)) }
            })
        #expect(heard.last?.message == .flowInformationEnd(count: 3))
        // And is none when it comes back as something else.
        ledger.up(forwarders[0])
        #expect(told().map(\.message) == [.flowInformationEnd(count: 0)])
        commit(4, number: 4)
        #expect(told().isEmpty)
    }

    @Test mutating func aQueryIsAnswered() {
        ledger.up(director)
        ledger.up(forwarders[0], isForwarder: true)
        commit(9, number: 1)
        _ = told()
        for (port, answer) in [(9, information(9, 1)), (8, .flowUnknown(key(8)))] as [(UInt16, Message)] {
            ledger.receive(Frame(.flowQuery(key(port)), transaction: 55, attempt: 2), from: forwarders[0], now: 0)
            let heard = told()
            #expect(heard.map(\.message) == [answer] && heard[0].transaction == 55)
        }
        ledger.ended(1, bytesSent: 0, now: 0)
        _ = told()
        ledger.receive(Frame(.flowQuery(key(9)), transaction: 56), from: forwarders[0], now: 0)
        #expect(told().map(\.message) == [.flowUnknown(key(9))])
    }

    /// Whoever has it now announces it; until then forwarders know nothing, rather than what is wrong.
    @Test mutating func aConnectionThatMovesAwayIsTakenBack() throws {
        ledger.up(director)
        ledger.up(forwarders[0], isForwarder: true)
        commit(9, number: 1, generation: 4)
        let offer = try #require(ledger.offer(of: 1, request: [1]))
        #expect(offer.1.generation == 4)
        _ = told()
        ledger.movedAway(1, now: 0)
        let heard = told()
        guard heard.count == 1, case .terminate(let terminate) = heard[0].message else {
            Issue.record("\(heard)")
            return
        }
        #expect(terminate.cause == .cancel && terminate.transfer == 1 && heard[0].director == forwarders[0])
    }

    @Test func identifiersAreKnownInARow() {
        let identifiers = FlowIdentifiers(first: 0)
        identifiers.start(at: 0xFF_FFF0)
        #expect(!identifiers.isKnown(FlowIdentifiers.identifier(of: 0xFF_FFF0)))
        // Over the end of the 24 bits, of which 0 is none.
        identifiers.give(upTo: 0xFF_FFF0 + 0x20)
        for number in 0xFF_FFF0..<0xFF_FFF0 + 0x20 as Range<UInt64> {
            let identifier = FlowIdentifiers.identifier(of: number)
            #expect(Encapsulation.flowIdentifiers.contains(identifier) && identifiers.isKnown(identifier))
        }
        #expect(!identifiers.isKnown(FlowIdentifiers.identifier(of: 0xFF_FFF0 + 0x20)) && !identifiers.isKnown(0))
        #expect(!identifiers.isKnown(FlowIdentifiers.identifier(of: 0xFF_FFEF)))
        identifiers.give(upTo: 0xFF_FFF0 + 0x100_0000)
        #expect(identifiers.isKnown(5) && !identifiers.isKnown(0))
    }
}
