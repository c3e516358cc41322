import Adoption
import CRTP
import Testing
import Wire

/// Connections whose next request another agent has read, and those that go elsewhere.
@Suite struct HandedBackLedgerTests {
    private let director = Endpoint("10.0.0.2:7270")!
    private let head = Array("GET /b HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    private var ledger = TransferLedger(firstTransaction: 500)

    private func transfer(request: [UInt8], isAcknowledged: Bool, mayComeBack: Bool = true) -> Transfer {
        let key = FlowKey(
            client: IPAddress("10.0.0.1")!, clientPort: 9, server: IPAddress("10.0.0.80")!, serverPort: 80)
        var transfer = Transfer(
            connection: ConnectionState(
                key: key, psn: SequenceNumber(1_000), pan: SequenceNumber(5), clientWindow: 1,
                serverWindowEdge: SequenceNumber(0),
                options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460)),
            request: request, isHeld: true, wantsFirstByte: isAcknowledged)
        transfer.isAcknowledged = isAcknowledged
        transfer.mayComeBack = mayComeBack
        transfer.connectionID = 42
        return transfer
    }

    private mutating func receive(_ message: Message, _ transaction: UInt32) -> [TransferLedger.Action] {
        ledger.receive(Frame(message, transaction: transaction), from: director, now: 0)
        defer { ledger.actions = [] }
        return ledger.actions
    }

    private func sent(_ message: Message, _ transaction: UInt32) -> TransferLedger.Action {
        .send(Frame(message, transaction: transaction), to: director)
    }

    private mutating func serve(mayComeBack: Bool) {
        _ = receive(.transfer(transfer(request: head, isAcknowledged: false, mayComeBack: mayComeBack)), 7)
        _ = ledger.decided(1, nil, now: 0)
        ledger.committed(1)
        ledger.actions = []
    }

    // MARK: the next agent's

    @Test mutating func whatTheClientWillNotRepeatMustBeWhole() {
        let refusal = sent(.transferNACK(.requestIncomplete, retryAfterMilliseconds: 0), 7)
        let empty = receive(.transfer(transfer(request: [], isAcknowledged: true)), 7)
        #expect(empty == [refusal])
        var cut = transfer(request: head, isAcknowledged: true)
        cut.isTruncated = true
        let answer = receive(.transfer(cut), 8)
        #expect(answer == [sent(.transferNACK(.requestIncomplete, retryAfterMilliseconds: 0), 8)])
        #expect(ledger.connections == 0)
    }

    /// The director's FIRST_BYTE is the commit: once, and answered as often as it comes.
    @Test mutating func theDirectorsWordCommits() {
        let consulted = receive(.transfer(transfer(request: head, isAcknowledged: true)), 7)
        #expect(consulted == [.consult(number: 1, transfer(request: head, isAcknowledged: true), expires: 50_000)])
        // Nothing is adopted yet: it was said of something else.
        let early = receive(.firstByte, 7)
        #expect(early.isEmpty && ledger.counters.unexpected == 1)
        _ = ledger.decided(1, nil, now: 0)
        ledger.actions = []
        #expect(ledger.received(of: 1) == head && ledger.uncommitted == 1)
        let word = receive(.firstByte, 7)
        #expect(word == [.begin(number: 1)])
        ledger.committed(1)
        #expect(ledger.actions == [sent(.firstByte, 7)] && ledger.uncommitted == 0)
        ledger.actions = []
        let again = receive(.firstByte, 7)
        #expect(again == [sent(.firstByte, 7)])
        // It is this agent's: too late to take it back.
        let cancel = Message.terminate(Terminate(cause: .late, transfer: 7, psn: SequenceNumber(1_000)))
        let late = receive(cancel, 30)
        #expect(late == [sent(.terminateResponse, 30), .tooLateToCancel(number: 1)])
    }

    /// A held request commits by arriving, and by nothing else.
    @Test mutating func theDirectorsWordIsNothingToAHeldRequest() {
        _ = receive(.transfer(transfer(request: head, isAcknowledged: false)), 7)
        _ = ledger.decided(1, nil, now: 0)
        ledger.actions = []
        #expect(ledger.received(of: 1).isEmpty)
        let word = receive(.firstByte, 7)
        let unknown = receive(.firstByte, 99)
        #expect(word.isEmpty && unknown.isEmpty && ledger.counters.unexpected == 2 && ledger.uncommitted == 1)
    }

    // MARK: the former agent's

    @Test mutating func onlyWhatIsServedAndWantedBackIsOffered() throws {
        _ = receive(.transfer(transfer(request: head, isAcknowledged: false)), 7)
        #expect(ledger.offer(of: 1, request: head) == nil)
        _ = ledger.decided(1, nil, now: 0)
        #expect(ledger.offer(of: 1, request: head) == nil)
        ledger.committed(1)
        let (to, offer) = try #require(ledger.offer(of: 1, request: head))
        #expect(to == director && offer.handsBack == 7 && offer.isAcknowledged && offer.request == head)
        #expect(offer.connectionID == 42 && offer.connection.key.clientPort == 9 && !offer.mayComeBack)
        #expect(ledger.offer(of: 2, request: head) == nil)
    }

    @Test mutating func aRuleThatRelaysWantsNothingBack() {
        serve(mayComeBack: false)
        #expect(ledger.offer(of: 1, request: head) == nil)
    }

    /// To the director it goes on: there is no end to be told, and what is late of it is answered as of an old one.
    @Test mutating func whatHasMovedAwayIsNotOver() {
        serve(mayComeBack: true)
        ledger.movedAway(1, now: 0)
        #expect(ledger.actions.isEmpty && ledger.connections == 0 && ledger.unsettled == 0)
        #expect(
            ledger.offer(of: 1, request: head) == nil && ledger.counters.movedAway == 1 && ledger.counters.ended == 0)
        ledger.advance(to: 1_000_000)
        #expect(ledger.actions.isEmpty)
        let old = receive(.transfer(transfer(request: head, isAcknowledged: false)), 7)
        #expect(old == [sent(.transferNACK(.expired, retryAfterMilliseconds: 0), 7)])
        // A late word of the connection's end finds nothing.
        ledger.ended(1, bytesSent: 9, now: 0)
        #expect(ledger.actions.isEmpty)
    }

    /// Another process that takes over knows all that is needed to hand back, and what has been read already.
    @Test mutating func aSuccessorGoesOn() throws {
        serve(mayComeBack: true)
        _ = receive(.transfer(transfer(request: head, isAcknowledged: true)), 8)
        _ = ledger.decided(2, nil, now: 0)
        var writer = SuccessionWriter()
        ledger.write(to: &writer)
        var reader = SuccessionReader(writer.bytes)
        var successor = try TransferLedger(limits: ledger.limits, from: &reader)
        #expect(try #require(successor.offer(of: 1, request: head)).1.connectionID == 42)
        #expect(successor.received(of: 2) == head && successor.mayComeBack(2))
        successor.receive(Frame(.firstByte, transaction: 8), from: director, now: 0)
        #expect(successor.actions == [.begin(number: 2)])
    }
}
