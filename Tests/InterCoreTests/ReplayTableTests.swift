import InterCore
import Testing
import Wire

@Suite struct ReplayTableTests {
    private let connection = ConnectionState(
        key: FlowKey(client: IPAddress(v4: 1), clientPort: 1, server: IPAddress(v4: 2), serverPort: 80),
        psn: SequenceNumber(1), pan: SequenceNumber(1), clientWindow: 1, serverWindowEdge: SequenceNumber(1),
        options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460))
    private let handle = FlowHandle(worker: 0, index: 7, generation: 1)

    @Test func eachConnectionIsToldUnderItsNumber() throws {
        let held = Held()
        _ = held.begin(1)
        let order = try #require(held.order(connection, 500))
        #expect(order.connection == connection && held.count == 1)
        #expect(
            held.installed(handle, order.ticket) == 500 && held.begun(handle) == 500
                && held.count == 1)
        #expect(held.ended(handle, now: 1_000) == 500 && held.count == 0)
        #expect(
            !held.isEmpty(since: 1_000) && held.isEmpty(since: 501_000),
            "its last acknowledgement may be on its way")
        let refused = try #require(held.order(connection, 501))
        #expect(held.refused(refused.ticket) == 501 && held.count == 0)
    }

    @Test func whatIsCancelledIsToldToNobody() throws {
        let held = Held()
        _ = held.begin(1)
        let early = try #require(held.order(connection, 500))
        #expect(held.cancel(500) == nil)
        #expect(held.installed(handle, early.ticket) == nil && held.count == 1, "so it is to be undone")
        #expect(held.ended(handle, now: 0) == nil && held.count == 0)
        let late = try #require(held.order(connection, 501))
        _ = held.installed(handle, late.ticket)
        #expect(held.cancel(501) == handle && held.count == 1, "until the worker says that it has gone")
        #expect(held.ended(handle, now: 0) == nil && held.count == 0)
        #expect(held.cancel(501) == nil)
    }

    @Test func anotherAgentDoesNotHearOfTheFormersConnections() throws {
        let held = Held()
        #expect(held.begin(1).isEmpty)
        let order = try #require(held.order(connection, 1))
        _ = held.installed(handle, order.ticket)
        let waiting = try #require(held.order(connection, 2))
        #expect(held.begin(1).isEmpty, "its successor goes on")
        #expect(held.begun(handle) == 1)
        #expect(held.begin(2) == [handle])
        #expect(held.begun(handle) == nil && held.count == 2)
        #expect(held.ended(handle, now: 0) == nil)
        let other = FlowHandle(worker: 0, index: 8, generation: 1)
        #expect(held.installed(other, waiting.ticket) == nil && held.count == 1)
        #expect(held.ended(other, now: 0) == nil && held.count == 0)
    }

    @Test func anOrderWithoutAnAnswerIsRefused() throws {
        let held = Held()
        _ = held.begin(1)
        _ = try #require(held.order(connection, 1, now: 1_000_000))
        let later = try #require(held.order(connection, 2, now: 2_500_000))
        #expect(held.forgetUnanswered(now: 3_100_000) == [1] && held.count == 1)
        #expect(held.forgetUnanswered(now: 3_200_000).isEmpty)
        #expect(held.installed(handle, later.ticket) == 2)
    }

    @Test func ticketsAreToldFromTheControlCores() throws {
        let held = Held()
        let order = try #require(held.order(connection, 1))
        #expect(ReplayTable.isOrder(order.ticket) && !ReplayTable.isOrder(1) && !ReplayTable.isOrder(0x7FFF_FFFF))
        #expect(!held.has(handle))
        _ = held.installed(handle, order.ticket)
        #expect(held.has(handle))
    }
}

/// A table that macros may change.
private final class Held {
    private var table = ReplayTable()
    var count: Int { table.count }
    func isEmpty(since now: UInt64) -> Bool { table.isEmpty(since: now) }
    func begin(_ epoch: UInt64) -> [FlowHandle] { table.begin(epoch) }
    func order(_ connection: ConnectionState, _ number: UInt64, now: UInt64 = 0) -> ReplayOrder? {
        table.order(connection, number, now: now)
    }
    func forgetUnanswered(now: UInt64) -> [UInt64] { table.forgetUnanswered(now: now) }
    func has(_ handle: FlowHandle) -> Bool { table.has(handle) }
    func installed(_ handle: FlowHandle, _ ticket: UInt32) -> UInt64? { table.installed(handle, ticket) }
    func refused(_ ticket: UInt32) -> UInt64? { table.refused(ticket) }
    func cancel(_ number: UInt64) -> FlowHandle? { table.cancel(number) }
    func begun(_ handle: FlowHandle) -> UInt64? { table.begun(handle) }
    func ended(_ handle: FlowHandle, now: UInt64) -> UInt64? { table.ended(handle, now: now) }
}
