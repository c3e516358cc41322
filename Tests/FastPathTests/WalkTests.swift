import FastPath
import InterCore
import Testing
import Wire

extension WorkerTests {
    /// What the control core asks of the flows, beside packets.
    @Suite struct WalkTests {
        private func open(_ lab: Lab, ports: Range<UInt16>, v6: Bool = false) {
            for port in ports {
                let connection = Connection(lab, port: port)
                connection.v6 = v6
                connection.client("S", seq: 0)
            }
            _ = lab.takeEvents()
        }

        private func rows(_ events: [WorkerEvent]) -> [FlowSummary] {
            events.compactMap { if case .flow(let summary, _) = $0 { summary } else { nil } }
        }

        private func end(_ events: [WorkerEvent]) -> (next: UInt32?, ticket: UInt8)? {
            if case .endOfFlows(let next, let ticket)? = events.last { (next, ticket) } else { nil }
        }

        @Test func flowsAreListedInPieces() throws {
            let lab = Lab(eventCapacity: 32)
            open(lab, ports: 1..<51)
            var query = FlowQuery()
            query.limit = 1_000
            query.ticket = 9
            lab.tell(.listFlows(query))
            for _ in 0..<10 { lab.turn() }
            let events = lab.takeEvents()
            #expect(rows(events).count == 50 && events.count == 51)
            let last = try #require(end(events))
            #expect(last.next == nil && last.ticket == 9)
            lab.finish()
        }

        @Test func flowsOfDatagramsAreListedCountedAndFound() throws {
            let lab = Lab(Lab.watching)
            open(lab, ports: 1..<4)
            let flow = DatagramFlow(lab)
            let handle = try #require(flow.commit())
            var query = FlowQuery()
            query.limit = 3
            lab.tell(.listFlows(query))
            for _ in 0..<4 { lab.turn() }
            let first = lab.takeEvents()
            #expect(rows(first).count == 3)
            query.cursor = try #require(end(first)?.next)
            lab.tell(.listFlows(query))
            for _ in 0..<4 { lab.turn() }
            let second = lab.takeEvents()
            #expect(rows(second).map(\.handle) == [handle] && end(second)?.next == nil)
            let row = try #require(rows(second).first)
            #expect(row.state == .committed && row.proxy == ProxyIndex(0) && row.key.serverPort == 443)
            // By what both tables know of it.
            query = FlowQuery()
            query.serverPort = 443
            query.client = AddressPrefix(row.key.client, length: 128)
            lab.tell(.listFlows(query))
            for _ in 0..<4 { lab.turn() }
            #expect(rows(lab.takeEvents()).map(\.handle) == [handle])
            lab.tell(.countFlows(FlowQuery()))
            for _ in 0..<8 { lab.turn() }
            let counts = lab.takeEvents().compactMap { event in
                if case .flowCount(let state, _, let count, _) = event { (state, count) } else { nil }
            }
            #expect(counts.reduce(0) { $0 + $1.1 } == 4)
            #expect(counts.contains { $0.0 == .committed && $0.1 == 1 })
            lab.tell(.findFlow(row.key, ticket: 5))
            lab.turn()
            #expect(rows(lab.takeEvents()).map(\.handle) == [handle])
            lab.finish()
        }

        @Test func pagesFollowOneAnotherOverBothFamilies() throws {
            let lab = Lab()
            open(lab, ports: 1..<31)
            open(lab, ports: 1..<31, v6: true)
            var query = FlowQuery()
            query.limit = 7
            var found: [FlowKey] = []
            var pages = 0
            while true {
                lab.tell(.listFlows(query))
                for _ in 0..<4 { lab.turn() }
                let events = lab.takeEvents()
                let page = rows(events)
                #expect(page.count <= 7)
                found += page.map(\.key)
                pages += 1
                guard let next = try #require(end(events)).next else { break }
                query.cursor = next
            }
            #expect(found.count == 60 && Set(found).count == 60 && pages == 9)
            lab.finish()
        }

        @Test func onlyWhatIsAskedFor() {
            let lab = Lab()
            let committed = Connection(lab, port: 100)
            committed.commit()
            let other = Connection(lab, port: 101)
            other.clientAddress = 200
            other.client("S", seq: 0)
            let v6 = Connection(lab, port: 102)
            v6.v6 = true
            v6.client("S", seq: 0)
            func ports(_ adjust: (inout FlowQuery) -> Void) -> [UInt16] {
                var query = FlowQuery()
                adjust(&query)
                _ = lab.takeEvents()
                lab.tell(.listFlows(query))
                for _ in 0..<3 { lab.turn() }
                return rows(lab.takeEvents()).map(\.key.clientPort).sorted()
            }
            #expect(ports { _ in } == [100, 101, 102])
            #expect(ports { $0.states = FlowQuery.bit(.committed) } == [100])
            #expect(ports { $0.states = FlowQuery.bit(.opening) } == [101, 102])
            #expect(ports { $0.proxy = ProxyIndex(0) } == [100])
            #expect(ports { $0.proxy = ProxyIndex(1) } == [])
            #expect(ports { $0.client = AddressPrefix("10.0.0.0/25")! } == [100])
            #expect(ports { $0.client = AddressPrefix("10.0.0.200")! } == [101])
            #expect(ports { $0.server = AddressPrefix("2001:db8::/32")! } == [102])
            #expect(ports { $0.server = AddressPrefix("10.0.0.80")! } == [100, 101])
            #expect(ports { $0.clientPort = 102 } == [102])
            #expect(ports { $0.serverPort = 81 } == [])
            lab.wait(milliseconds: 1_000)
            committed.client(".", seq: UInt32(1 + request.count))
            #expect(ports { $0.leastIdle = 500 } == [101, 102])
            #expect(ports { $0.mostIdle = 500 } == [100])
            lab.finish()
        }

        @Test func flowsAreCountedByStateAndProxy() throws {
            let lab = Lab(eventCapacity: 32)
            for port in 1..<6 as Range<UInt16> { Connection(lab, port: port).commit() }
            open(lab, ports: 10..<40)
            func counts(_ query: FlowQuery) throws -> [String] {
                lab.tell(.countFlows(query))
                for _ in 0..<8 { lab.turn() }
                let events = lab.takeEvents()
                #expect(try #require(end(events)).next == nil)
                return events.compactMap {
                    if case .flowCount(let state, let proxy, let count, _) = $0 {
                        "\(state) \(proxy.value) \(count)"
                    } else {
                        nil
                    }
                }
            }
            #expect(try counts(FlowQuery()) == ["opening 255 30", "committed 0 5"])
            // The second count does not begin with the first one's.
            #expect(try counts(FlowQuery()) == ["opening 255 30", "committed 0 5"])
            var query = FlowQuery()
            query.clientPort = 12
            #expect(try counts(query) == ["opening 255 1"])
            lab.finish()
        }

        /// While every turn has packets, the table is looked at by 8 places in 32 µs, and no faster.
        @Test func aBusyWorkerLooksAtLittle() {
            let lab = Lab { $0.flowCapacity = 2_048 }
            open(lab, ports: 1..<1_001)
            var query = FlowQuery()
            query.limit = 10_000
            lab.tell(.listFlows(query))
            let stranger = Connection(lab, port: 5_000)
            stranger.serverPort = 81
            var seen: [Int] = []
            // A tick of this lab's clock is a microsecond.
            for _ in 0..<320 {
                lab.now += 1
                for _ in 0..<2 {
                    lab.put(stranger.clientSegment(".", seq: 1).frame, fromClient: true)
                    lab.controlHeartbeat.beat(now: lab.now)
                    _ = lab.boxes[0].worker.poll(now: lab.now)
                }
                var events = 0
                while lab.events[0].pop() != nil { events += 1 }
                seen.append(events)
            }
            lab.turn()
            let pieces = stride(from: 0, to: 320, by: 32).map { seen[$0..<$0 + 32].reduce(0, +) }
            #expect(pieces.allSatisfy { $0 > 0 && $0 <= 8 }, "\(pieces)")
            // With nothing else to do it is over soon.
            for _ in 0..<80 { lab.turn() }
            #expect(end(lab.takeEvents()) != nil)
            lab.finish()
        }

        /// A ring without room stops the walk where it is; nothing is lost.
        @Test func aFullRingMakesTheWalkWait() {
            let lab = Lab(eventCapacity: 16)
            open(lab, ports: 1..<41)
            var query = FlowQuery()
            query.limit = 100
            lab.tell(.listFlows(query))
            for _ in 0..<20 { _ = lab.boxes[0].worker.poll(now: lab.now) }
            let before = lab.counter(.eventRingFull)
            for _ in 0..<20 { lab.turn() }
            #expect(rows(lab.takeEvents()).count == 40)
            #expect(lab.counter(.eventRingFull) == before && before == 0)
            lab.finish()
        }

        /// One question looks at a bounded part of the table.
        @Test func aQuestionHasItsEnd() throws {
            let lab = Lab()
            open(lab, ports: 1..<41)
            var query = FlowQuery()
            query.places = 16
            query.states = FlowQuery.bit(.held)
            lab.tell(.listFlows(query))
            for _ in 0..<4 { lab.turn() }
            var events = lab.takeEvents()
            #expect(events.count == 1 && end(events)?.next == 16)
            lab.tell(.countFlows(query))
            for _ in 0..<8 { lab.turn() }
            events = lab.takeEvents()
            #expect(events.count == 1 && end(events)?.next == 16)
            lab.finish()
        }
    }
}
