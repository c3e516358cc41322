import Adoption
import CRTP
import Testing
import Wire

/// Connections that come unasked.
@Suite struct HandOffLedgerTests {
    private let director = Endpoint("10.0.0.2:7270")!
    private let other = Endpoint("10.0.0.3:7270")!
    private var ledger = TransferLedger(firstTransaction: 500)

    private func transfer(psn: UInt32 = 1_000) -> Transfer {
        let key = FlowKey(
            client: IPAddress("10.0.0.1")!, clientPort: 9, server: IPAddress("10.0.0.80")!, serverPort: 80)
        return Transfer(
            connection: ConnectionState(
                key: key, psn: SequenceNumber(psn), pan: SequenceNumber(5), clientWindow: 1,
                serverWindowEdge: SequenceNumber(0),
                options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460)),
            request: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
    }

    private mutating func receive(
        _ transaction: UInt32 = 7, attempt: UInt8 = 0, from: Endpoint? = nil, psn: UInt32 = 1_000, now: UInt64 = 0
    ) -> [TransferLedger.Action] {
        let message = Message.handOff(transfer(psn: psn), sentAt: 1)
        ledger.receive(
            Frame(message, transaction: transaction, attempt: attempt), from: from ?? director, now: now)
        defer { ledger.actions = [] }
        return ledger.actions
    }

    private mutating func serve() {
        _ = receive()
        _ = ledger.takenOver(1, nil, now: 0)
        ledger.committed(1)
    }

    @Test mutating func itIsAdoptedWithoutAWord() {
        let wanted = receive()
        #expect(wanted == [.takeOver(number: 1, transfer())])
        let keeps = ledger.takenOver(1, nil, now: 0)
        ledger.committed(1)
        #expect(keeps && ledger.actions.isEmpty && ledger.connections == 1 && ledger.uncommitted == 0)
        #expect(ledger.counters.handOffs == 1 && ledger.counters.committed == 1)
        ledger.ended(1, bytesSent: 3, now: 0)
        guard case .send(let frame, director) = ledger.actions.last, case .terminate(let done) = frame.message else {
            Issue.record("no end is told")
            return
        }
        #expect(done.cause == .flowDone && done.transfer == 7 && done.bytesSent == 3)
    }

    @Test mutating func aCopyChangesNothingWhileItLivesAndAfterwards() {
        serve()
        let again = receive(attempt: 1)
        ledger.ended(1, bytesSent: 0, now: 0)
        ledger.actions = []
        let late = receive(attempt: 2, now: 5_000_000)
        #expect(again.isEmpty && late.isEmpty && ledger.counters.handOffs == 1 && ledger.counters.handOffsRepeated == 2)
        // The same number, and another connection.
        let new = receive(psn: 2_000, now: 5_000_000)
        #expect(new.count == 1)
    }

    /// Each copy is another try; the director hears of each that fails, under its number.
    @Test mutating func whatCannotBeAdoptedIsToldAndTriedAgain() {
        _ = receive()
        let keeps = ledger.takenOver(1, .resource, now: 0)
        let nack = Message.transferNACK(.resource, retryAfterMilliseconds: 0)
        #expect(!keeps && ledger.actions == [.send(Frame(nack, transaction: 7), to: director)])
        #expect(ledger.counters.handOffsFailed == [.resource: 1] && ledger.connections == 0 && ledger.uncommitted == 0)
        ledger.actions = []
        let again = receive(attempt: 1)
        #expect(again == [.takeOver(number: 2, transfer())])
        _ = ledger.takenOver(2, .noRoute, now: 0)
        let second = Message.transferNACK(.noRoute, retryAfterMilliseconds: 0)
        #expect(ledger.actions == [.send(Frame(second, transaction: 7, attempt: 1), to: director)])
    }

    /// By client, server and PSN it is the same, whoever names it how.
    @Test mutating func anotherDirectorsCopyIsNoFailure() {
        serve()
        let wanted = receive(9, from: other)
        #expect(wanted.count == 1)
        let keeps = ledger.takenOver(2, .tupleInUse, now: 0)
        #expect(!keeps && ledger.actions.isEmpty && ledger.counters.handOffsRepeated == 1)
        // A former connection of the same addresses and ports is in the way of a new one.
        _ = receive(10, from: other, psn: 2_000)
        _ = ledger.takenOver(3, .tupleInUse, now: 0)
        #expect(ledger.actions.count == 1 && ledger.counters.handOffsFailed == [.tupleInUse: 1])
    }

    @Test mutating func connectionsAreBounded() {
        ledger.limits.connections = 1
        serve()
        let nack = Message.transferNACK(.resource, retryAfterMilliseconds: 0)
        let answer = receive(8, psn: 3_000)
        #expect(answer == [.send(Frame(nack, transaction: 8), to: director)])
    }

    /// A drain keeps new transfers away; what is committed already is served.
    @Test mutating func aDrainingAgentServesWhatIsItsAlready() {
        ledger.isDraining = true
        let wanted = receive()
        #expect(wanted.count == 1)
    }
}
