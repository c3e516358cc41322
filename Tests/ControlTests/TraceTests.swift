import CRTP
import Control
import InterCore
import Testing
import Wire

/// What an operator follows: every decision, in order, and nothing of anybody else.
@Suite struct TraceTests {
    private func ready(
        _ conditions: Simulation.Conditions = .init(), resetBy: DirectorConfiguration.ResetBy = .director
    )
        -> Simulation
    {
        var conditions = conditions
        conditions.agentMicroseconds = 200...300
        conditions.resetBy = resetBy
        var simulation = Simulation(seed: 99, conditions)
        simulation.run(until: 2_000_000)
        return simulation
    }

    private func read(_ simulation: inout Simulation, _ target: TraceTarget, after: UInt64 = 0) throws -> TraceStatus {
        let status = simulation.core.trace(target, after: after, limit: 1_000, now: simulation.now)
        return try #require(status)
    }

    private let client = TraceTarget.client(IPAddress("10.0.0.1")!, port: nil)

    @Test(arguments: [
        ("10.0.0.1", TraceTarget.client(IPAddress("10.0.0.1")!, port: nil)),
        ("10.0.0.1:7", .client(IPAddress("10.0.0.1")!, port: 7)),
        ("[2001:db8::1]:7", .client(IPAddress("2001:db8::1")!, port: 7)),
        ("2001:db8::1", .client(IPAddress("2001:db8::1")!, port: nil)), ("17", .transfer(17)),
        ("10.0.0.1:0", nil), ("10.0.0.0/8", nil), ("", nil), ("-1", nil),
    ]) func targets(_ text: String, _ target: TraceTarget?) {
        #expect(TraceTarget(text) == target)
    }

    @Test func anAcceptedTransferFromHoldToItsEnd() throws {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        var simulation = ready(conditions)
        simulation.at(2_100_000, .arrival(7))
        let address = clientAddress(&simulation)
        let target = TraceTarget.client(address, port: nil)
        _ = try read(&simulation, target)
        simulation.run(until: 60_000_000)
        let status = try read(&simulation, target)
        let names = status.events.map(\.event)
        var expected = [
            "held", "rule", "selection", "TRANSFER", "ACK", "round trip", "verdict", "committed", "decided",
        ]
        expected += ["flow done", "flow ended"]
        #expect(names.filter { $0 != "state" && $0 != "first byte" } == expected)
        #expect(status.events.map(\.atMicroseconds) == status.events.map(\.atMicroseconds).sorted())
        #expect(status.events.filter { $0.event == "selection" }.allSatisfy { $0.detail.contains("chosen") })
        #expect(Set(status.events.compactMap(\.transfer)).count == 1 && Set(status.events.map(\.flow)).count == 1)
        #expect(status.dropped == 0 && status.last == UInt64(status.events.count))
        // What was read is not read again.
        let again = try read(&simulation, target, after: status.last)
        #expect(again.events.isEmpty)
        // By its number, from what is remembered.
        let number = try #require(status.events.compactMap(\.transfer).first)
        let remembered = try read(&simulation, .transfer(number)).events
        #expect(remembered.map(\.event) == ["asked", "decided"])
        #expect(remembered[0].atMicroseconds == status.events[3].atMicroseconds)
    }

    /// The client of the simulation's arrivals.
    private func clientAddress(_ simulation: inout Simulation) -> IPAddress {
        var other = simulation
        other.run(until: 2_150_000)
        return other.workers.flatMap { $0.flows.values }.first?.key.client ?? .unspecified
    }

    @Test func refusedAndUnanswered() throws {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 0
        var simulation = ready(conditions)
        simulation.at(2_100_000, .arrival(7))
        let target = TraceTarget.client(clientAddress(&simulation), port: nil)
        _ = try read(&simulation, target)
        simulation.run(until: 2_200_000)
        let names = try read(&simulation, target).events.map(\.event)
        #expect(names.contains("NACK") && names.contains("decided") && !names.contains("ACK"))
        let held = heldRequest(handle: FlowHandle(worker: 0, index: 900, generation: 1))
        _ = try read(&simulation, client)
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        // Nobody answers: nothing that the core sends arrives.
        var now = simulation.now
        for _ in 0..<200 {
            simulation.core.actions = []
            now += 1_000
            simulation.core.advance(to: now)
        }
        let status = simulation.core.trace(client, after: 0, limit: 1_000, now: now)
        let events = try #require(status).events
        #expect(events.contains { $0.event == "timeout" } && events.contains { $0.event == "TERMINATE" })
        // One proxy after the other is asked, and each is chosen before that.
        let copies = events.filter { $0.event == "TRANSFER" }
        #expect(Set(copies.map(\.proxy)) == ["p0", "p1"])
        #expect(events.filter { $0.event == "selection" }.count > 1)
    }

    @Test func nobodyElseAndOnePortOnly() throws {
        var simulation = ready()
        for (target, isSeen) in [
            (TraceTarget.client(IPAddress("10.0.0.2")!, port: nil), false),
            (.client(IPAddress("10.0.0.1")!, port: 39_999), false),
            (.client(IPAddress("10.0.0.1")!, port: 40_000), true),
        ] {
            _ = try read(&simulation, target)
            let held = heldRequest(port: 40_000, handle: FlowHandle(worker: 0, index: 900, generation: 1))
            held.payload.withUnsafeBytes {
                simulation.core.handle(.requestObserved(held.request), payload: $0, worker: 0, now: simulation.now)
            }
            let status = try read(&simulation, target)
            #expect(!status.events.isEmpty == isSeen)
        }
    }

    @Test func bounds() throws {
        var traces = Traces()
        for index in 0..<Traces.targetLimit {
            let place = traces.follow(.transfer(UInt32(index)), now: 0)
            #expect(place?.isNew == true)
        }
        let refused = traces.follow(.transfer(1_000), now: 0)
        #expect(refused == nil)
        let known = traces.follow(.transfer(3), now: 30_000_000)
        #expect(known?.isNew == false)
        // A minute without a reader.
        traces.forget(now: Traces.patienceMicroseconds)
        #expect(traces.active.map(\.target) == [.transfer(3)])
        let key = heldRequest().request.connection.key
        var event = TraceEvent(at: 31_000_000, key: key, transfer: 3, event: "ACK", detail: "")
        for _ in 0..<30_000 { traces.append(event) }
        #expect(traces.active[0].suppressed > 0)
        #expect(traces.active[0].events.count < 2 * Traces.eventLimit)
        // Time goes by, and there is room again; numbers go on.
        for second in 0..<20 {
            event.at = 40_000_000 + UInt64(second) * 1_000_000
            for _ in 0..<2_000 { traces.append(event) }
        }
        let trace = traces.active[0]
        #expect(trace.events.count >= Traces.eventLimit && trace.events.count < 2 * Traces.eventLimit)
        #expect(trace.firstNumber > 1)
    }

    @Test func whatWasNotFetchedInTimeIsCounted() throws {
        var simulation = ready()
        _ = try read(&simulation, .transfer(5))
        let key = heldRequest().request.connection.key
        for second in 0..<10 as Range<UInt64> {
            for _ in 0..<2_000 {
                simulation.core.traces.append(
                    TraceEvent(at: simulation.now + second * 1_000_000, key: key, transfer: 5, event: "ACK", detail: "")
                )
            }
        }
        let status = try read(&simulation, .transfer(5), after: 1)
        #expect(status.events.count == 1_000 && status.dropped > 0)
        #expect(status.last == 1 + status.dropped + 1_000)
    }
}
