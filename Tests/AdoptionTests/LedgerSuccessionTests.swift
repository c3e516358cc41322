import Adoption
import CRTP
import Testing
import Wire

/// A ledger that another process goes on with answers as this one would have.
@Suite struct LedgerSuccessionTests {
    private let director = Endpoint("10.0.0.2:7270")!

    private func transfer(_ port: UInt16) -> Transfer {
        let key = FlowKey(
            client: IPAddress("2001:db8::1")!, clientPort: port, server: IPAddress("2001:db8::80")!, serverPort: 80)
        return Transfer(
            connection: ConnectionState(
                key: key, psn: SequenceNumber(1_000), pan: SequenceNumber(5), clientWindow: 1,
                serverWindowEdge: SequenceNumber(0),
                options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460)),
            request: [])
    }

    /// One committed (1), one refused (2), one uncommitted (3), one that ended and was not acknowledged (4), one
    /// cancelled before it was heard of (5).
    private func busyLedger() -> TransferLedger {
        var ledger = TransferLedger(firstTransaction: 500)
        ledger.up(director)
        for port in 1...4 as ClosedRange<UInt16> {
            ledger.receive(Frame(.transfer(transfer(port)), transaction: UInt32(port)), from: director, now: 10)
            _ = ledger.decided(UInt64(port), port == 2 ? .notFound : nil, now: 10)
        }
        ledger.committed(1)
        ledger.committed(4)
        ledger.ended(4, bytesSent: 99, now: 20)
        let cancel = Terminate(cause: .cancel, transfer: 5, psn: SequenceNumber(1_000))
        ledger.receive(Frame(.terminate(cancel), transaction: 5), from: director, now: 20)
        ledger.actions = []
        return ledger
    }

    private func succeed(_ ledger: TransferLedger) throws -> TransferLedger {
        var writer = SuccessionWriter()
        ledger.write(to: &writer)
        var reader = SuccessionReader(writer.bytes)
        let successor = try TransferLedger(limits: ledger.limits, from: &reader)
        #expect(reader.isAtEnd)
        return successor
    }

    @Test func theSameFramesGetTheSameAnswers() throws {
        var (old, new) = (busyLedger(), try succeed(busyLedger()))
        #expect(new.connections == 2 && new.uncommitted == 1 && new.committedNumbers == [1])
        var frames = (1...6).map { Frame(.transfer(transfer($0)), transaction: UInt32($0), attempt: 1) }
        frames += (1...6 as ClosedRange<UInt32>).map {
            Frame(.terminate(Terminate(cause: .cancel, transfer: $0, psn: SequenceNumber(1_000))), transaction: $0)
        }
        for frame in frames {
            old.receive(frame, from: director, now: 30)
            new.receive(frame, from: director, now: 30)
            #expect(old.actions == new.actions, "\(frame)")
            #expect(!new.actions.isEmpty)
            old.actions = []
            new.actions = []
        }
        // The end is told again until it is answered, and announcements name what is left.
        for time in stride(from: 100_000 as UInt64, through: 3_000_000, by: 100_000) {
            old.advance(to: time)
            new.advance(to: time)
            #expect(old.actions == new.actions)
        }
        #expect(!new.actions.isEmpty)
        old.actions = []
        new.actions = []
        old.up(director)
        new.up(director)
        #expect(old.actions == new.actions)
    }

    @Test func whatIsCutIsRefused() {
        var writer = SuccessionWriter()
        busyLedger().write(to: &writer)
        for count in 0..<writer.bytes.count {
            var reader = SuccessionReader(Array(writer.bytes[..<count]))
            #expect(throws: SuccessionReader.Unreadable.self) {
                _ = try TransferLedger(limits: .init(), from: &reader)
            }
        }
    }

    @Test func messagesAreReadAsTheyWereWritten() throws {
        let key = transfer(7).connection.key
        let messages: [SuccessionMessage] = [
            .hello(version: 1), .greeting([1, 2]), .freeze, .state([]), .state([UInt8](repeating: 7, count: 30_000)),
            .passing(.rendezvous), .passing(.control(director)), .passing(.adopter),
            .passing(.uncommitted(number: 1 << 40, handle: 3)), .end, .taken, .go,
            .ended(number: 1 << 40, bytesSent: 1 << 41), .connection(number: 2, transaction: 3, key, bytesSent: 4),
        ]
        for message in messages {
            #expect(try SuccessionMessage(message.encoded) == message)
            #expect(throws: SuccessionReader.Unreadable.self) { _ = try SuccessionMessage(message.encoded + [0]) }
        }
        var rules = GuardRules(
            instance: "a", services: [ServicePrefix("any:80")!, ServicePrefix("[2001:db8::/64]:443")!],
            uncommittedMark: 1, deliveryMark: 2, routingTable: 3)
        let greeting = AgentGreeting(rules: rules, control: [director])
        #expect(try AgentGreeting(greeting.encoded) == greeting)
        #expect(greeting.obstacle(to: rules) == nil)
        rules.routingTable = 4
        #expect(greeting.obstacle(to: rules)?.contains("routing-table") == true)
    }
}
