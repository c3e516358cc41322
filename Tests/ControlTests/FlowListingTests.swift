import Control
import InterCore
import Testing
import Wire

/// Listings of flows, which workers own: what is asked of whom, and what becomes of the answers.
@Suite struct FlowListingTests {
    private func key(_ index: Int) -> FlowKey {
        FlowKey(
            client: IPAddress(v4: 0x0A00_0000 + UInt32(index)), clientPort: 1, server: IPAddress(v4: 1), serverPort: 80)
    }

    /// Plays workers that hold `tables[n]` flows until nothing more is asked for.
    private func answer(
        _ listing: inout FlowListing, _ asked: [(command: WorkerCommand, worker: Int)], tables: [Int]
    ) -> Int {
        var asked = asked
        var pages = 0
        while let (command, worker) = asked.popLast() {
            pages += 1
            var fake = FakeWorker(index: worker)
            for index in 0..<tables[worker] { _ = fake.hold(key(index)) }
            for event in fake.apply(command).events {
                switch event {
                case .flow(let summary, let ticket): listing.append(summary, worker: worker, ticket: ticket)
                case .flowCount(let state, let proxy, let count, let ticket):
                    listing.append(count, state: state, proxy: proxy, worker: worker, ticket: ticket)
                case .endOfFlows(let next, let ticket):
                    if let more = listing.end(worker: worker, next: next, ticket: ticket) { asked.append(more) }
                default: Issue.record("a worker says \(event)")
                }
            }
        }
        return pages
    }

    @Test func rowsComePageByPageAndAreReadOn() throws {
        var listing = FlowListing()
        let tables = [150, 0, 100]
        var cursor: FlowCursor? = FlowCursor(workers: 3)
        var names: [String] = []
        var requests = 0
        while let from = cursor {
            // As an operator would: by text.
            let from = try #require(FlowCursor(from.text))
            let asked = listing.begin(.rows(limit: 90), FlowQuery(), from: from, now: 0)
            #expect(asked.count == 1, "one worker at a time")
            #expect(listing.take(now: 0) == nil)
            _ = answer(&listing, asked, tables: tables)
            let taken = listing.take(now: 0)
            let page = try #require(taken)
            #expect(page.rows.count <= 90)
            names += page.rows.map { "\($0.handle)" }
            cursor = page.cursor
            requests += 1
        }
        #expect(names.count == 250 && Set(names).count == 250)
        #expect(requests == 3)
    }

    @Test func countsComeFromAllAtOnce() throws {
        var listing = FlowListing()
        let asked = listing.begin(.counts, FlowQuery(), from: FlowCursor(workers: 3), now: 0)
        #expect(asked.count == 3)
        #expect(answer(&listing, asked, tables: [150, 0, 100]) == 3)
        let taken = listing.take(now: 0)
        let census = try #require(taken).census
        #expect(census.flows == 250 && census.next == nil)
    }

    /// A worker that falls silent in the middle of a page: nothing is lost, and nothing comes twice.
    @Test func whatIsNotCompleteDoesNotCount() throws {
        var listing = FlowListing()
        let query = FlowQuery()
        var asked = listing.begin(.rows(limit: 200), query, from: FlowCursor(workers: 1), now: 0)
        guard case .listFlows(let first) = asked[0].command else { throw Unexpected() }
        let row = FlowSummary(
            handle: FlowHandle(worker: 0, index: 1, generation: 1), key: key(1), state: .origin, proxy: .none,
            idleMilliseconds: 0)
        listing.append(row, worker: 0, ticket: first.ticket)
        _ = listing.end(worker: 0, next: 64, ticket: first.ticket)
        listing.append(row, worker: 0, ticket: first.ticket)
        #expect(listing.take(now: FlowListing.patienceMicroseconds - 1) == nil)
        let taken = listing.take(now: FlowListing.patienceMicroseconds)
        let answer = try #require(taken)
        #expect(answer.rows.count == 1 && answer.cursor?.text == "64")
        // What it says later belongs to nothing.
        asked = listing.begin(.rows(limit: 200), query, from: FlowCursor(workers: 1), now: 0)
        listing.append(row, worker: 0, ticket: first.ticket)
        #expect(listing.end(worker: 0, next: nil, ticket: first.ticket) == nil)
        #expect(listing.take(now: 0) == nil)
        guard case .listFlows(let second) = asked[0].command else { throw Unexpected() }
        _ = listing.end(worker: 0, next: nil, ticket: second.ticket)
        #expect(listing.take(now: 0)?.rows == [])
    }

    /// One request looks at a bounded part of the tables, however few rows it finds.
    @Test func aSearchEndsAtItsBound() throws {
        var listing = FlowListing()
        let asked = listing.begin(.rows(limit: 10), FlowQuery(), from: FlowCursor(workers: 2), now: 0)
        guard case .listFlows(let query) = asked[0].command else { throw Unexpected() }
        #expect(listing.end(worker: 0, next: FlowQuery.mostPlaces, ticket: query.ticket) == nil)
        #expect(listing.take(now: 0)?.cursor?.text == "\(FlowQuery.mostPlaces).0")
    }

    @Test(arguments: ["", "1.", "y", "-1", "1..2", "4294967296"]) func badCursors(_ text: String) {
        #expect(FlowCursor(text) == nil)
    }

    @Test func theCoreFindsProxiesByName() throws {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = 200...300
        var simulation = Simulation(seed: 99, conditions)
        simulation.run(until: 2_000_000)
        var filter = FlowFilter()
        filter.proxy = "nobody"
        #expect(throws: ControlCore.FlowRefusal.noProxy("nobody")) {
            try simulation.core.beginFlows(filter, limit: 1, from: nil, now: simulation.now)
        }
        #expect(throws: ControlCore.FlowRefusal.strangeCursor) {
            try simulation.core.beginFlows(FlowFilter(), limit: 1, from: FlowCursor("1.2.3"), now: simulation.now)
        }
        for port in 1...300 as ClosedRange<UInt16> { simulation.at(2_100_000, .arrival(port)) }
        simulation.run(until: 2_200_000)
        filter.proxy = "p1"
        try simulation.core.beginFlows(filter, limit: nil, from: nil, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: 2_300_000)
        let taken = simulation.core.takeFlows(now: simulation.now)
        let answer = try #require(taken)
        #expect(answer.census.counts == [FlowCount(state: "committed", proxy: "p0", flows: 300)])
        #expect(simulation.core.takeFlows(now: simulation.now) == nil)
    }

    private struct Unexpected: Error {}
}
