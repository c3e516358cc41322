import Control
import Foundation
import Operator
import Testing

/// `batonctl top`: rates between two looks, and their layout.
@Suite struct TopTests {
    private func look(at seconds: Double, _ scale: UInt64, histogram: [UInt64] = []) -> TopReport.Look {
        var status = DirectorStatus()
        status.name = "d1"
        status.uptimeSeconds = seconds
        status.clockHertz = 1_000_000
        status.transfers = ["committed": 10 * scale, "nack": 0]
        var worker = WorkerStatus()
        worker.lcore = 1
        worker.counters = [
            "receivedFromClients": 1_000 * scale, "receivedFromServers": 1_000 * scale,
            "transmittedToServers": 1_900 * scale, "droppedForeignProxy": 100 * scale, "busyClocks": 500_000 * scale,
        ]
        worker.gauges = ["flows": 7, "committedFlows": 3, "heldFlows": 1]
        status.workers = [worker]
        var port = PortStatus()
        (port.name, port.side, port.link) = ("net_af_xdp0", "client", true)
        (port.receivedPackets, port.receivedBytes) = (1_000 * scale, 125_000 * scale)
        status.ports = [port]
        for microseconds in histogram { status.decisionTimes.add(microseconds) }
        let proxies = (0..<3).map { index in
            var proxy = ProxyStatus()
            proxy.name = "p\(index)"
            proxy.state = "up"
            proxy.connections = UInt32([5, 9, 7][index])
            proxy.acks = UInt64(index) * scale
            (proxy.processorLoad, proxy.memoryLoad) = (120, 345)
            return proxy
        }
        return TopReport.Look(status, proxies)
    }

    private var report: TopReport { TopReport(from: look(at: 10, 1), to: look(at: 12, 3)) }

    @Test func ratesAreDifferencesOverTime() {
        let report = report
        #expect(report.intervalSeconds == 2 && report.transfersPerSecond == ["committed": 10, "nack": 0])
        let worker = report.workers[0]
        #expect(worker.receivedPerSecond == 2_000 && worker.transmittedPerSecond == 1_900)
        #expect(worker.droppedPerSecond == 100 && worker.busyShare == 0.5 && worker.cyclesPerPacket == 250)
        #expect(report.ports[0].receivedPerSecond == 1_000 && report.ports[0].receivedBitsPerSecond == 1_000_000)
        #expect(report.proxies.map(\.acksPerSecond) == [0, 1, 2] && report.proxies[0].load == 345)
        #expect(report.flows == 7 && report.heldFlows == 1)
    }

    @Test func aDirectorThatBeganAnewHasNoRates() {
        let report = TopReport(from: look(at: 100, 50), to: look(at: 3, 1))
        #expect(report.transfersPerSecond["committed"] == 0 && report.workers[0].receivedPerSecond == 0)
        #expect(report.workers[0].cyclesPerPacket == nil && report.hold.p50 == nil)
    }

    @Test func percentilesAreOfTheIntervalAlone() throws {
        let before = [UInt64](repeating: 90_000, count: 1_000)
        let after = before + [UInt64](repeating: 400, count: 90) + [UInt64](repeating: 4_000, count: 10)
        let hold = TopReport(from: look(at: 1, 1, histogram: before), to: look(at: 2, 1, histogram: after)).hold
        #expect(hold.count == 100)
        let (p50, p90, p99) = (try #require(hold.p50), try #require(hold.p90), try #require(hold.p99))
        #expect(p50 > 200 && p50 < 500 && p90 == 500 && p99 > 2_000 && p99 <= 5_000)
        let long = TopReport(from: look(at: 1, 1), to: look(at: 2, 1, histogram: [5_000_000])).hold
        #expect(long.p50 == 100_000)
    }

    /// Whatever the size, no line is longer and there are as many as fit; the keys stand below.
    @Test(arguments: [(80, 24), (200, 60), (40, 10), (20, 3), (1, 1), (7, 2)]) func anySize(_ width: Int, _ height: Int)
    {
        for isColoured in [false, true] {
            var screen = TopScreen()
            let lines = screen.lines(report, PrintStyle(width: width, isColoured: isColoured), height: height)
            #expect(lines.count == height)
            for line in lines {
                let visible = line.replacing(/\u{1B}\[[0-9]*m/, with: "")
                #expect(visible.count <= width)
            }
            #expect(lines.joined().contains("\u{1B}") == (isColoured && height > 4))
            #expect("q quit".hasPrefix(String(lines.last!.replacing(/\u{1B}\[[0-9]*m/, with: "").prefix(6))))
        }
    }

    private func proxies(_ screen: inout TopScreen) -> [String] {
        screen.lines(report, PrintStyle(), height: nil).compactMap { line in
            line.hasPrefix("p") && line.contains("up") ? String(line.prefix(2)) : nil
        }
    }

    @Test func keysSortAndTurnRound() {
        var screen = TopScreen()
        let order1 = proxies(&screen)
        #expect(order1 == ["p0", "p1", "p2"])
        for _ in 0..<2 { _ = screen.press(.right) }
        let order2 = proxies(&screen)
        #expect(order2 == ["p1", "p2", "p0"])
        let marked = screen.lines(report, PrintStyle(), height: nil)
        #expect(marked.contains { $0.contains("CONNS-") })
        _ = screen.press(.reverse)
        let order3 = proxies(&screen)
        #expect(order3 == ["p0", "p2", "p1"])
        for _ in 0..<2 { _ = screen.press(.left) }
        #expect(screen.sortColumn == 0)
        _ = screen.press(.left)
        #expect(screen.sortColumn > 2)
        let stays = screen.press(.quit)
        #expect(!stays)
    }

    @Test func scrollingStopsAtTheEnds() {
        var screen = TopScreen()
        let style = PrintStyle(width: 80)
        let first = screen.lines(report, style, height: 10)
        _ = screen.press(.up)
        let same = screen.lines(report, style, height: 10)
        #expect(same == first)
        for _ in 0..<100 { _ = screen.press(.down) }
        let last = screen.lines(report, style, height: 10)
        #expect(last != first && last[8].hasPrefix("p2"))
        _ = screen.press(.up)
        let above = screen.lines(report, style, height: 10)
        #expect(above[8].hasPrefix("p1"))
        // A terminal that grows shows all again.
        let grown = screen.lines(report, style, height: 60)
        #expect(grown[0] == first[0] && screen.scrolled == 0)
    }

    @Test func aProblemStandsInThePlaceOfTheKeys() {
        var screen = TopScreen()
        let lines = screen.lines(report, PrintStyle(width: 80), height: 24, problem: "no director")
        #expect(lines.last == "no director")
    }

    @Test(arguments: [
        ("q", [TopScreen.Key.quit]), ("\u{3}", [.quit]), ("\u{1B}[A\u{1B}[B", [.up, .down]),
        ("\u{1B}OC\u{1B}[D", [.right, .left]), ("rx\u{1B}", [.reverse, .other, .other]), ("\u{1B}[", [.other]),
        ("\u{1B}[5~", [.other, .other]),
    ])
    func keys(_ text: String, _ keys: [TopScreen.Key]) {
        #expect(TopScreen.Key.read(Array(text.utf8)[...]) == keys)
    }

    @Test(arguments: [
        (0.0, "0"), (0.04, "0"), (12.34, "12.3"), (99.96, "100"), (456.4, "456"), (999.6, "1.0k"), (7_890, "7.89k"),
        (12_345, "12.3k"), (1.5e6, "1.5M"), (9.99e9, "9.99G"), (2e12, "2.0T"),
    ])
    func figures(_ value: Double, _ text: String) { #expect(TopScreen.figure(value) == text) }
}
