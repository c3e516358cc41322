package import Control

/// A director's state as OpenMetrics text, version 1.0. Names follow Prometheus' conventions: base units, `_total` for
/// counters, snake case. Labels are bounded: workers, proxies and endings are as many as configured or built in.
package struct MetricsText {
    private var text = ""

    package static var contentType: String { "application/openmetrics-text; version=1.0.0; charset=utf-8" }

    package static func of(_ status: DirectorStatus, _ proxies: [ProxyStatus]) -> String {
        var metrics = MetricsText()
        metrics.director(status)
        metrics.workers(status.workers)
        metrics.rules(status.rules)
        metrics.proxies(proxies)
        metrics.origins(status.origins)
        return metrics.text + "# EOF\n"
    }

    private mutating func director(_ status: DirectorStatus) {
        family("baton_build", .info, "The director and its version.") {
            [("_info", [("name", status.name), ("version", status.version)], "1")]
        }
        gauge("baton_uptime_seconds", "Since the director started.", status.uptimeSeconds)
        gauge("baton_bypass", "1 while nothing is held.", status.bypass ? 1 : 0)
        gauge("baton_recovering", "1 while agents announce their connections.", status.recovering ? 1 : 0)
        gauge("baton_transfers_pending", "Requests that are held or observed at present.", status.pendingTransfers)
        gauge("baton_requests_queued", "Held requests that wait for a busy proxy.", status.queuedRequests)
        family("baton_rule_shed", .counter, "Requests that waited for a busy proxy in vain.") {
            status.shed.sorted { $0.key < $1.key }.map { ("_total", [("rule", $0.key)], "\($0.value)") }
        }
        gauge("baton_packet_buffers", "Packet buffers of all workers.", status.packetBuffers)
        gauge("baton_packet_buffers_free", "Those that no port, hold or ring has.", status.packetBuffersFree)
        counters("baton_transfers", "Requests by what became of them.", label: "ending", status.transfers)
        counters("baton_crtp_frames", "CRTP frames by what became of them.", label: "fate", status.crtp)
        counters(
            "baton_blobs", "Blobs of connections, and their fragments, by way and by what became of them.",
            label: "fate", status.blobs)
        histogram(
            "baton_transfer_decision_seconds",
            "From the request to the decision who gets it, of those that were asked for.",
            status.decisionTimes)
    }

    private mutating func workers(_ workers: [WorkerStatus]) {
        let counters = Set(workers.flatMap(\.counters.keys)).sorted()
        for name in counters {
            family("baton_worker_\(Self.snake(name))", .counter, "Worker's counter \(name).") {
                workers.map { ("_total", [("worker", "\($0.index)")], "\($0.counters[name] ?? 0)") }
            }
        }
        let gauges = Set(workers.flatMap(\.gauges.keys)).sorted()
        for name in gauges {
            family("baton_worker_\(Self.snake(name))", .gauge, "Worker's gauge \(name).") {
                workers.map { ("", [("worker", "\($0.index)")], "\($0.gauges[name] ?? 0)") }
            }
        }
    }

    /// Rules of one name (of both families, say) count together.
    private mutating func rules(_ rules: [RuleStatus]) {
        family("baton_rule_transfers", .counter, "Requests of a rule by what became of them.") {
            rules.flatMap { rule in
                [
                    ("committed", rule.committed), ("origin", rule.origin), ("observed", rule.observed),
                    ("unasked", rule.unasked),
                ].map { ("_total", [("rule", rule.name), ("ending", $0.0)], "\($0.1)") }
            }
        }
    }

    private mutating func proxies(_ proxies: [ProxyStatus]) {
        func rows(_ suffix: String, _ value: (ProxyStatus) -> some CustomStringConvertible) -> [Sample] {
            proxies.map { (suffix, [("proxy", $0.name)], "\(value($0))") }
        }
        family("baton_proxy_up", .gauge, "1 while transfers are offered to the proxy.") {
            rows("") { $0.state == "up" ? 1 : 0 }
        }
        family("baton_proxy_connections", .gauge, "Connections of the proxy, by its own word and since.") {
            rows("") { $0.connections }
        }
        family("baton_proxy_committed_flows", .gauge, "Connections that this director gave it.") {
            rows("") { $0.committedFlows }
        }
        family("baton_proxy_pending_transfers", .gauge, "Transfers under way.") { rows("") { $0.pendingTransfers } }
        family("baton_proxy_acks", .counter, "Transfers that it accepted.") { rows("_total") { $0.acks } }
        family("baton_proxy_nacks", .counter, "Transfers that it refused.") { rows("_total") { $0.nacks } }
        family("baton_proxy_timeouts", .counter, "Transfers that it did not answer in time.") {
            rows("_total") { $0.timeouts }
        }
        family("baton_proxy_late_acks", .counter, "Acceptances that came after the request had gone to the origin.") {
            rows("_total") { $0.lateACKs }
        }
        family("baton_proxy_passed_on", .counter, "Requests that it did not take and another proxy was asked for then.")
        {
            rows("_total") { $0.passedOn }
        }
        let streams = proxies.filter { $0.transport != "udp" }
        family("baton_proxy_connected", .gauge, "1 while there is a connection for the channel (TCP, TLS).") {
            streams.map { ("", [("proxy", $0.name), ("transport", $0.transport)], $0.connected ? "1" : "0") }
        }
        family("baton_proxy_connects", .counter, "Connections that were made.") {
            streams.map { ("_total", [("proxy", $0.name)], "\($0.connects)") }
        }
        family("baton_proxy_connection_ends", .counter, "Connections that ended, and attempts that failed.") {
            streams.flatMap { proxy in
                proxy.connectionEnds.sorted { $0.key < $1.key }.map {
                    ("_total", [("proxy", proxy.name), ("reason", Self.snake($0.key))], "\($0.value)")
                }
            }
        }
        family("baton_proxy_undelivered", .counter, "Frames that found no connection, or one that took no more.") {
            streams.map { ("_total", [("proxy", $0.name)], "\($0.undelivered)") }
        }
        family("baton_proxy_set_aside", .gauge, "1 while it is only probed, after timeouts in a row.") {
            rows("") { $0.state == "suspect" ? 1 : 0 }
        }
        family(
            "baton_proxy_adoption_seconds", .histogram,
            "From TRANSFER to its acceptance: the way there and back, the look, the adoption."
        ) {
            proxies.flatMap { Self.buckets($0.adoptionTimes, labels: [("proxy", $0.name)]) }
        }
        family("baton_proxy_srtt_seconds", .gauge, "Smoothed round-trip time; 0 before the first sample.") {
            rows("") { $0.srttMicroseconds / 1_000_000 }
        }
        family("baton_proxy_rttvar_seconds", .gauge, "Its variation.") {
            rows("") { $0.rttvarMicroseconds / 1_000_000 }
        }
        family("baton_proxy_timeout_seconds", .gauge, "How long a request waits for it.") {
            rows("") { Double($0.timeoutMicroseconds) / 1_000_000 }
        }
    }

    private mutating func origins(_ origins: [OriginStatus]) {
        family("baton_origin_up", .gauge, "1 while the virtual server's origin gets new connections.") {
            origins.map { ("", [("server", $0.server), ("origin", $0.origin)], $0.up ? "1" : "0") }
        }
    }

    // MARK: Pieces

    private typealias Sample = (suffix: String, labels: [(name: String, value: String)], value: String)

    private enum Kind: String { case counter, gauge, histogram, info }

    private mutating func family(_ name: String, _ kind: Kind, _ help: String, _ samples: () -> [Sample]) {
        let samples = samples()
        guard !samples.isEmpty else { return }
        text += "# TYPE \(name) \(kind.rawValue)\n# HELP \(name) \(help)\n"
        for sample in samples {
            let labels = sample.labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            text += "\(name)\(sample.suffix)\(labels.isEmpty ? "" : "{\(labels)}") \(sample.value)\n"
        }
    }

    private mutating func gauge(_ name: String, _ help: String, _ value: some CustomStringConvertible) {
        family(name, .gauge, help) { [("", [], "\(value)")] }
    }

    private mutating func counters(_ name: String, _ help: String, label: String, _ values: [String: UInt64]) {
        family(name, .counter, help) {
            values.sorted { $0.key < $1.key }.map { ("_total", [(label, Self.snake($0.key))], "\($0.value)") }
        }
    }

    private mutating func histogram(_ name: String, _ help: String, _ times: TimeHistogram) {
        family(name, .histogram, help) { Self.buckets(times, labels: []) }
    }

    private static func buckets(_ times: TimeHistogram, labels: [(name: String, value: String)]) -> [Sample] {
        var samples: [Sample] = []
        var sum: UInt64 = 0
        for (bound, count) in zip(TimeHistogram.boundsMicroseconds, times.counts) {
            sum += count
            samples.append(("_bucket", labels + [("le", "\(Double(bound) / 1_000_000)")], "\(sum)"))
        }
        samples.append(("_bucket", labels + [("le", "+Inf")], "\(times.count)"))
        samples.append(("_count", labels, "\(times.count)"))
        samples.append(("_sum", labels, "\(Double(times.sumMicroseconds) / 1_000_000)"))
        return samples
    }

    /// `receivedFromClients` becomes `received_from_clients`; a run of capitals is one word, with a plural's s.
    package static func snake(_ name: String) -> String {
        var result = ""
        let letters = Array(name)
        for (index, letter) in letters.enumerated() {
            guard letter.isUppercase else {
                result.append(letter)
                continue
            }
            let rest = letters[(index + 1)...]
            let endsRun = rest.first?.isLowercase == true && rest != ["s"]
            let beginsWord = index > 0 && (!letters[index - 1].isUppercase || endsRun)
            result += (beginsWord ? "_" : "") + letter.lowercased()
        }
        return result
    }

    private static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
