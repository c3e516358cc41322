import CDPDKShim
import Control
import InterCore
import Synchronization

/// The director's counters by DPDK's own telemetry, for `dpdk-telemetry.py`. Its thread reads workers' counters as they
/// are, and the proxies' state as the control core last left it; it makes neither of them wait.
enum Telemetry {
    private struct Source: Sendable {
        var workers: [CounterBlock] = []
        var proxies: [ProxyStatus] = []
    }

    private static let source = Mutex(Source())

    /// Once, when the workers' counters are there.
    static func register(_ workers: [CounterBlock]) -> Bool {
        source.withLock { $0.workers = workers }
        let answers: [(command: String, help: String, answer: shim_telemetry_answer)] = [
            ("/baton/stats", "Counters of all workers. Parameter: a worker's number, for that one alone.", stats),
            ("/baton/flows", "Flows and holds at present. Parameter: a worker's number, for that one alone.", flows),
            ("/baton/proxies", "Proxies with their state and answers. No parameters.", proxies),
        ]
        return answers.allSatisfy { shim_telemetry_register($0.command, $0.answer, $0.help) == 0 }
    }

    /// The proxies' state of now. While it is being read, the last one stays.
    static func update(_ proxies: @autoclosure () -> [ProxyStatus]) {
        let latest = proxies()
        _ = source.withLockIfAvailable { $0.proxies = latest }
    }

    private static let stats: shim_telemetry_answer = { _, parameters, data in
        answer(parameters, data) { block, add in for counter in Counter.allCases { add("\(counter)", block[counter]) } }
    }

    private static let flows: shim_telemetry_answer = { _, parameters, data in
        answer(parameters, data) { block, add in for gauge in Gauge.allCases { add("\(gauge)", block[gauge]) } }
    }

    /// Sums over the workers that are asked for. -1 for a worker that there is not.
    private static func answer(
        _ parameters: UnsafePointer<CChar>?, _ data: OpaquePointer,
        _ read: (CounterBlock, (String, UInt64) -> Void) -> Void
    ) -> Int32 {
        let all = source.withLock { $0.workers }
        var wanted = all[...]
        if let parameters, parameters.pointee != 0 {
            guard let number = Int(String(cString: parameters)), all.indices.contains(number) else { return -1 }
            wanted = all[number...number]
        }
        var names: [String] = []
        var sums: [String: UInt64] = [:]
        for block in wanted {
            read(block) { name, value in
                if sums[name] == nil { names.append(name) }
                sums[name, default: 0] &+= value
            }
        }
        shim_telemetry_begin_dictionary(data)
        for name in names { shim_telemetry_add_number(data, name, sums[name] ?? 0) }
        return 0
    }

    /// DPDK takes letters, digits and underscores; the name itself is among the values.
    private static func key(_ name: String) -> String {
        String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    private static let proxies: shim_telemetry_answer = { _, _, data in
        shim_telemetry_begin_dictionary(data)
        for proxy in source.withLock({ $0.proxies }) {
            guard let entry = shim_telemetry_make() else { return -1 }
            shim_telemetry_begin_dictionary(entry)
            for (name, text) in [("name", proxy.name), ("state", proxy.state), ("address", proxy.address)] {
                shim_telemetry_add_text(entry, name, text)
            }
            let numbers: [(String, UInt64)] = [
                ("connections", UInt64(proxy.connections)), ("committedFlows", UInt64(proxy.committedFlows)),
                ("pendingTransfers", UInt64(proxy.pendingTransfers)), ("acks", proxy.acks), ("nacks", proxy.nacks),
                ("timeouts", proxy.timeouts), ("lateACKs", proxy.lateACKs),
                ("srttMicroseconds", UInt64(proxy.srttMicroseconds)),
                ("timeoutMicroseconds", proxy.timeoutMicroseconds),
            ]
            for (name, value) in numbers { shim_telemetry_add_number(entry, name, value) }
            if shim_telemetry_put(data, key(proxy.name), entry) != 0 { shim_telemetry_free(entry) }
        }
        return 0
    }
}
