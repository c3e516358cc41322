import Control

/// What `batonctl top` shows: rates between two looks at a director.
package struct TopReport: Codable, Equatable, Sendable {
    package var director = ""
    package var version = ""
    package var uptimeSeconds = 0.0
    package var intervalSeconds = 0.0
    package var algorithm = ""
    package var bypass = false
    package var recovering = false
    package var pendingTransfers = 0
    package var heldFlows: UInt64 = 0
    package var flows: UInt64 = 0
    package var proxiesUp = 0
    package var proxiesConfigured = 0
    /// By outcome.
    package var transfersPerSecond: [String: Double] = [:]
    package var hold = Hold()
    package var ports: [PortRates] = []
    package var workers: [WorkerRates] = []
    package var proxies: [ProxyRates] = []

    /// How long requests waited for their decision in the interval, in microseconds; nil while none did. What took longer
    /// than the last bucket's bound counts as that.
    package struct Hold: Codable, Equatable, Sendable {
        package var count: UInt64 = 0
        package var p50: Double?
        package var p90: Double?
        package var p99: Double?
    }

    package struct PortRates: Codable, Equatable, Sendable {
        package var name = ""
        package var side = ""
        package var link = false
        package var receivedPerSecond = 0.0
        package var receivedBitsPerSecond = 0.0
        package var transmittedPerSecond = 0.0
        package var transmittedBitsPerSecond = 0.0
        package var missedPerSecond = 0.0
        package var errorsPerSecond = 0.0
    }

    package struct WorkerRates: Codable, Equatable, Sendable {
        package var worker = 0
        package var lcore = 0
        package var receivedPerSecond = 0.0
        package var transmittedPerSecond = 0.0
        package var droppedPerSecond = 0.0
        /// Of turns that found something; nil while no packet came.
        package var cyclesPerPacket: Double?
        /// Of the lcore's time, 0...1.
        package var busyShare = 0.0
        package var flows: UInt64 = 0
        package var committedFlows: UInt64 = 0
        package var heldFlows: UInt64 = 0
    }

    package struct ProxyRates: Codable, Equatable, Sendable {
        package var proxy = ""
        package var state = ""
        package var connections: UInt32 = 0
        package var flows = 0
        package var pending = 0
        package var acksPerSecond = 0.0
        package var nacksPerSecond = 0.0
        package var timeoutsPerSecond = 0.0
        package var srttMicroseconds = 0.0
        package var rttvarMicroseconds = 0.0
        package var timeoutMicroseconds: UInt64 = 0
        /// The larger of processor and memory, in thousandths.
        package var load: UInt16 = 0
    }

    /// One look at a director.
    package struct Look: Sendable {
        package var status: DirectorStatus
        package var proxies: [ProxyStatus]

        package init(_ status: DirectorStatus, _ proxies: [ProxyStatus]) {
            self.status = status
            self.proxies = proxies
        }
    }

    /// A director that began anew in between has no rates.
    package init(from old: Look, to new: Look) {
        let status = new.status
        let isSame = status.uptimeSeconds >= old.status.uptimeSeconds
        let before = isSame ? old : new
        director = status.name
        version = status.version
        uptimeSeconds = status.uptimeSeconds
        intervalSeconds = isSame ? status.uptimeSeconds - old.status.uptimeSeconds : 0
        algorithm = status.algorithm
        bypass = status.bypass
        recovering = status.recovering
        pendingTransfers = status.pendingTransfers
        proxiesUp = status.proxiesUp
        proxiesConfigured = status.proxiesConfigured
        let rate = Rate(seconds: intervalSeconds)
        for (name, count) in status.transfers {
            transfersPerSecond[name] = rate(before.status.transfers[name] ?? 0, count)
        }
        hold = Hold(from: before.status.decisionTimes, to: status.decisionTimes)
        ports = status.ports.map { port in
            PortRates(from: before.status.ports.first { $0.name == port.name } ?? port, to: port, rate)
        }
        workers = status.workers.map { worker in
            let old = before.status.workers.first { $0.index == worker.index } ?? worker
            return WorkerRates(from: old, to: worker, rate, hertz: status.clockHertz)
        }
        proxies = new.proxies.map { proxy in
            ProxyRates(from: before.proxies.first { $0.name == proxy.name } ?? proxy, to: proxy, rate)
        }
        flows = workers.reduce(0) { $0 + $1.flows }
        heldFlows = workers.reduce(0) { $0 + $1.heldFlows }
    }
}

/// Of two readings of a counter that only rises.
struct Rate {
    let seconds: Double

    func callAsFunction(_ old: UInt64, _ new: UInt64) -> Double {
        seconds > 0 && new >= old ? Double(new - old) / seconds : 0
    }
}

extension TopReport.Hold {
    init(from old: TimeHistogram, to new: TimeHistogram) {
        guard new.count > old.count, new.counts.count == old.counts.count else { return }
        count = new.count - old.count
        let counts = zip(old.counts, new.counts).map { $1 >= $0 ? $1 - $0 : 0 }
        func percentile(_ part: Double) -> Double {
            let rank = part * Double(count)
            var below = 0.0
            var lower = 0.0
            for (bound, inside) in zip(TimeHistogram.boundsMicroseconds, counts) {
                if inside > 0, below + Double(inside) >= rank {
                    return lower + (Double(bound) - lower) * (rank - below) / Double(inside)
                }
                below += Double(inside)
                lower = Double(bound)
            }
            return lower
        }
        (p50, p90, p99) = (percentile(0.5), percentile(0.9), percentile(0.99))
    }
}

extension TopReport.PortRates {
    init(from old: PortStatus, to new: PortStatus, _ rate: Rate) {
        name = new.name
        side = new.side
        link = new.link
        receivedPerSecond = rate(old.receivedPackets, new.receivedPackets)
        receivedBitsPerSecond = 8 * rate(old.receivedBytes, new.receivedBytes)
        transmittedPerSecond = rate(old.transmittedPackets, new.transmittedPackets)
        transmittedBitsPerSecond = 8 * rate(old.transmittedBytes, new.transmittedBytes)
        missedPerSecond = rate(old.missed, new.missed)
        errorsPerSecond = rate(old.errors, new.errors)
    }
}

extension TopReport.WorkerRates {
    init(from old: WorkerStatus, to new: WorkerStatus, _ rate: Rate, hertz: UInt64) {
        func sum(_ worker: WorkerStatus, _ isWanted: (String) -> Bool) -> UInt64 {
            worker.counters.reduce(0) { isWanted($1.key) ? $0 + $1.value : $0 }
        }
        func rateOf(_ isWanted: (String) -> Bool) -> Double { rate(sum(old, isWanted), sum(new, isWanted)) }
        worker = new.index
        lcore = new.lcore
        receivedPerSecond = rateOf { $0.hasPrefix("received") }
        transmittedPerSecond = rateOf { $0.hasPrefix("transmitted") }
        droppedPerSecond = rateOf { $0.hasPrefix("dropped") }
        let busy = rateOf { $0 == "busyClocks" }
        busyShare = hertz > 0 ? min(1, busy / Double(hertz)) : 0
        cyclesPerPacket = receivedPerSecond > 0 ? busy / receivedPerSecond : nil
        flows = new.gauges["flows"] ?? 0
        committedFlows = new.gauges["committedFlows"] ?? 0
        heldFlows = new.gauges["heldFlows"] ?? 0
    }
}

extension TopReport.ProxyRates {
    init(from old: ProxyStatus, to new: ProxyStatus, _ rate: Rate) {
        proxy = new.name
        state = new.state
        connections = new.connections
        flows = new.committedFlows
        pending = new.pendingTransfers
        acksPerSecond = rate(old.acks, new.acks)
        nacksPerSecond = rate(old.nacks, new.nacks)
        timeoutsPerSecond = rate(old.timeouts, new.timeouts)
        srttMicroseconds = new.srttMicroseconds
        rttvarMicroseconds = new.rttvarMicroseconds
        timeoutMicroseconds = new.timeoutMicroseconds
        load = max(new.processorLoad, new.memoryLoad)
    }
}
