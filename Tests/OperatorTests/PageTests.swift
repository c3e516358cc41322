import Control
import Foundation
import Logging
import Operator
import Testing
import Wire

/// The page and what it polls. `Tests/EndToEnd/test_page.py` looks at it in a browser.
@Suite(.serialized, .timeLimit(.minutes(2))) struct PageTests {
    private func status(uptime: Double, committed: UInt64, timeouts: UInt64 = 0, packets: UInt64 = 0) -> DirectorStatus
    {
        var status = DirectorStatus()
        status.uptimeSeconds = uptime
        status.transfers = ["committed": committed, "timeout": timeouts, "observedACK": 9, "announced": 3]
        var worker = WorkerStatus()
        worker.counters = [
            "receivedFromClients": packets, "droppedHeldDuplicate": 4, "droppedTransmitFull": packets / 10,
        ]
        worker.gauges = ["heldFlows": 2, "flows": 50]
        status.workers = [worker, worker]
        return status
    }

    private func proxy(acks: UInt64) -> ProxyStatus {
        var proxy = ProxyStatus()
        proxy.acks = acks
        return proxy
    }

    @Test func ratesComeOfWhatCountersGrewBy() {
        var history = PageHistory(capacity: 3)
        history.add(status(uptime: 10, committed: 100), [proxy(acks: 40)], milliseconds: 1_000)
        #expect(history.points.isEmpty)
        history.add(
            status(uptime: 12, committed: 150, timeouts: 4, packets: 1_000), [proxy(acks: 44)], milliseconds: 3_000)
        let point = history.points[0]
        #expect((point.committed, point.origin, point.fromClients) == (25, 2, 1_000))
        #expect((point.heldMost, point.dropped, point.proxies) == (4, 100, [2]))
        // A director that has started anew counts from nothing: no rate, and none below nothing.
        history.add(status(uptime: 1, committed: 1), [proxy(acks: 0)], milliseconds: 4_000)
        #expect(history.points.count == 1)
        for second in 2...9 {
            history.add(status(uptime: Double(second), committed: 1), [proxy(acks: 0)], milliseconds: 5_000)
        }
        #expect(history.points.count == 3 && history.points.allSatisfy { $0.committed == 0 })
    }

    @Test func aQuantileLiesWithinItsBucket() {
        var times = TimeHistogram()
        #expect(times.quantile(0.5) == nil)
        for _ in 0..<10 { times.add(150) }
        #expect(times.quantile(0.5) == 150)
        let earlier = times
        for _ in 0..<10 { times.add(4_000) }
        #expect(times.since(earlier).count == 10 && times.since(earlier).quantile(0.1)! > 2_000)
        for _ in 0..<1_000 { times.add(10_000_000) }
        #expect(times.quantile(0.99) == 100_000)
    }

    private func curl(_ address: String, _ path: String, _ options: [String] = []) throws -> String {
        let curl = Process()
        curl.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        curl.arguments = options + ["--silent", "--include", "http://\(address)\(path)"]
        let output = Pipe()
        curl.standardOutput = output
        try curl.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        curl.waitUntilExit()
        return text
    }

    @Test func thePageNeedsNothingElseAndAllowsNothingElse() throws {
        let director = try TestDirector()
        var configuration = DirectorConfiguration()
        configuration.page.listen = Endpoint(IPAddress(v4: 0x7F00_0001), port: 0)
        let pages = try OperatorPages.open(configuration, mailbox: director.mailbox, logger: Logger(label: "test"))
        let address = try #require(pages.servers.first).address
        let page = try curl(address, "/")
        let other = try curl(address, "/")
        let policy = try #require(page.firstMatch(of: /Content-Security-Policy: (.*)\r\n/)).1
        let nonce = try #require(policy.firstMatch(of: /script-src 'nonce-([0-9a-z]{20,})'/)).1
        #expect(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"))
        #expect(!policy.contains("unsafe"))
        #expect(!other.contains(nonce), "a number for one answer only")
        #expect(page.ranges(of: "nonce=\"\(nonce)\"").count == 2 && !page.contains("{{"))
        // Nothing from elsewhere, and no handlers in attributes, which the policy would forbid.
        #expect(page.firstMatch(of: /(src|href)="(?!#)/) == nil && !page.contains("@import") && !page.contains("url("))
        #expect(page.firstMatch(of: /\ (on[a-z]+|style)="/) == nil)

        var data = ""
        repeat { data = try curl(address, "/data.json") } while data.contains("503")
        #expect(data.contains(#""name":"d1""#) && data.contains("Age: ") && data.contains(#""proxies":[{"#))
        #expect(try curl(address, "/data.json", ["--request", "POST"]).contains("405"))
        #expect(try curl(address, "/metrics").contains("404"), "only where the configuration wants it")
        pages.close()
        director.stop()
    }

    /// A web site whose name points at a loopback address does not get there by way of a browser.
    @Test func aStrangersNameIsRefusedOnALoopbackAddress() throws {
        let director = try TestDirector()
        var configuration = DirectorConfiguration()
        configuration.page.listen = Endpoint(IPAddress(v4: 0x7F00_0001), port: 0)
        let pages = try OperatorPages.open(configuration, mailbox: director.mailbox, logger: Logger(label: "test"))
        let address = try #require(pages.servers.first).address
        #expect(try curl(address, "/", ["--header", "Host: rebound.example"]).contains(" 421 "))
        for name in ["localhost:9480", "127.0.0.1", "[::1]:9480"] {
            #expect(try curl(address, "/", ["--header", "Host: \(name)"]).contains(" 200 "))
        }
        pages.close()
        director.stop()
    }

    @Test func metricsAndPageMayShareAnAddress() throws {
        let director = try TestDirector()
        var configuration = DirectorConfiguration()
        configuration.page.listen = Endpoint(IPAddress(v4: 0x7F00_0001), port: 0)
        configuration.metrics.listen = configuration.page.listen
        let pages = try OperatorPages.open(configuration, mailbox: director.mailbox, logger: Logger(label: "test"))
        #expect(pages.servers.count == 1)
        let address = try #require(pages.servers.first).address
        #expect(try curl(address, "/metrics").contains("# EOF"))
        #expect(try curl(address, "/").contains("<!doctype html>"))
        pages.close()
        director.stop()
    }
}
