import Control
import Foundation
import Logging
import Operator
import Testing
import Wire

@Suite struct MetricsTests {
    @Test(arguments: [
        ("receivedFromClients", "received_from_clients"), ("acks", "acks"), ("observedACK", "observed_ack"),
        ("passedNotTCP", "passed_not_tcp"), ("installsRefused", "installs_refused"),
        ("refusedOtherVLAN", "refused_other_vlan"),
        ("holdsRefusedControlDead", "holds_refused_control_dead"), ("lateACKs", "late_acks"),
    ]) func namesAreInSnakeCase(_ name: String, _ expected: String) {
        #expect(MetricsText.snake(name) == expected)
    }

    @Test func theTextIsOpenMetrics() {
        var status = DirectorStatus()
        status.name = "d\"1\\\n"
        status.version = "1"
        status.transfers = ["committed": 7, "nack": 1]
        status.decisionTimes.add(40)
        status.decisionTimes.add(450)
        status.decisionTimes.add(450)
        status.decisionTimes.add(1_000_000)
        var worker = WorkerStatus()
        worker.counters = ["receivedFromClients": 5]
        worker.gauges = ["flows": 3]
        status.workers = [worker]
        var proxy = ProxyStatus()
        proxy.name = "p1"
        proxy.state = "up"
        proxy.srttMicroseconds = 250
        status.origins = [true, false].map { isUp in
            var origin = OriginStatus()
            (origin.server, origin.origin, origin.up) = ("www", isUp ? "o1" : "o2", isUp)
            return origin
        }
        let lines = MetricsText.of(status, [proxy]).split(separator: "\n").map(String.init)
        #expect(lines.last == "# EOF")
        for line in [
            #"baton_build_info{name="d\"1\\\n",version="1"} 1"#, #"baton_transfers_total{ending="committed"} 7"#,
            #"baton_worker_received_from_clients_total{worker="0"} 5"#, #"baton_worker_flows{worker="0"} 3"#,
            #"baton_origin_up{server="www",origin="o1"} 1"#, #"baton_origin_up{server="www",origin="o2"} 0"#,
            #"baton_proxy_up{proxy="p1"} 1"#, #"baton_proxy_srtt_seconds{proxy="p1"} 0.00025"#,
            #"baton_transfer_decision_seconds_bucket{le="5e-05"} 1"#,
            #"baton_transfer_decision_seconds_bucket{le="0.0005"} 3"#,
            #"baton_transfer_decision_seconds_bucket{le="0.1"} 3"#,
            #"baton_transfer_decision_seconds_bucket{le="+Inf"} 4"#, "baton_transfer_decision_seconds_count 4",
            "baton_transfer_decision_seconds_sum 1.00094",
        ] { #expect(lines.contains(line), "\(line)") }
        // A family's lines stand together, its type first, each family once.
        let types = lines.filter { $0.hasPrefix("# TYPE ") }
        #expect(Set(types).count == types.count)
    }

    @Test func aScraperGetsTheDirectorsState() throws {
        let director = try TestDirector()
        var configuration = DirectorConfiguration()
        configuration.metrics.listen = Endpoint(IPAddress(v4: 0x7F00_0001), port: 0)
        let pages = try OperatorPages.open(
            configuration, mailbox: director.mailbox, logger: Logger(label: "test"))
        let server = try #require(pages.servers.first)
        func get(_ path: String, _ options: [String] = []) throws -> (status: Int, text: String) {
            let curl = Process()
            curl.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
            curl.arguments = options + ["--silent", "--write-out", "\n%{http_code}", "http://\(server.address)\(path)"]
            let output = Pipe()
            curl.standardOutput = output
            try curl.run()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            curl.waitUntilExit()
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
        }
        let metrics = try get("/metrics")
        #expect(metrics.status == 200 && metrics.text.contains(#"baton_build_info{name="d1""#))
        #expect(metrics.text.hasSuffix("# EOF\n"))
        #expect(try get("/other").status == 404)
        #expect(try get("/metrics", ["--data", "x=1"]).status == 405)
        pages.close()
        director.stop()
    }

    @Test func aPortThatIsTakenIsTold() throws {
        var configuration = DirectorConfiguration()
        configuration.metrics.listen = Endpoint(IPAddress(v4: 0x7F00_0001), port: 0)
        let logger = Logger(label: "test")
        let first = try OperatorPages.open(configuration, mailbox: OperatorMailbox(), logger: logger)
        configuration.metrics.listen = try #require(Endpoint(try #require(first.servers.first).address))
        #expect(throws: ReadOnlyServerProblem.self) {
            try OperatorPages.open(configuration, mailbox: OperatorMailbox(), logger: logger)
        }
        first.close()
    }
}
