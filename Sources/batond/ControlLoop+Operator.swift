import Control
import FastPath
import Glibc
import InterCore
import Operator

/// Answers operators between two turns. A bounded number each turn; nothing here waits for anybody.
extension ControlLoop {
    mutating func takeOperatorRequests(now: UInt64) -> Int {
        let taken = mailbox.take(limit: 8)
        for pending in taken { serve(pending, now: now) }
        serveListings(now: now)
        return taken.count
    }

    private mutating func serve(_ pending: PendingRequest, now: UInt64) {
        switch pending.request {
        case .status: pending.answer(.status(status(now: now)))
        case .proxies: pending.answer(.proxies(core.proxyStatus()))
        case .candidates: pending.answer(.candidates(core.candidateStatus(now: now)))
        case .origins: pending.answer(.origins(core.originStatus(now: now)))
        case .routes: pending.answer(.routes(core.routeStatus()))
        case .transfers(let limit): pending.answer(.transfers(core.transferStatus(limit: limit, now: now)))
        case .bypass(let wanted):
            if wanted == false, drain != nil {
                return pending.answer(.failure("batond is leaving its host: the bypass stays on"))
            }
            if let wanted { core.setBypass(wanted) }
            pending.answer(.bypass(BypassStatus(bypass: core.status(workers: [], now: now).bypass)))
        case .algorithm(let wanted, let rule):
            if let wanted, !core.setAlgorithm(wanted, rule: rule) {
                pending.answer(.failure("no rule is named '\(rule ?? "")'"))
            } else {
                pending.answer(.algorithm(core.algorithms()))
            }
        case .proxy(_, .evacuate) where core.configuration.role == .forwarder:
            pending.answer(
                .failure("a forwarder gives connections to nobody: say it to each classifier, or to the director"))
        case .proxy(let name, let wish):
            let isKnown = core.set(wish, proxy: name, now: now)
            let row = core.proxyStatus().first { $0.name == name && $0.state != "leaving" }
            pending.answer(isKnown ? .proxy(row ?? ProxyStatus()) : .failure("no proxy is named '\(name)'"))
        case .keys: pending.answer(.keys(core.keyStatus()))
        case .rotateKeys(let key, let isForced): pending.answer(rotateKeys(pending.loaded, key, isForced, now: now))
        case .reload(let isDryRun): pending.answer(reload(pending.loaded, isDryRun, now: now))
        case .version:
            pending.answer(
                .version(
                    VersionStatus(name: "batond", version: version, protocolVersion: 1, processIdentifier: getpid())))
        case .flows(let filter, let limit, let cursor):
            enqueue(pending, .rows(filter, limit: limit, cursor: cursor), now: now)
        case .flowCounts(let filter, let cursor): enqueue(pending, .counts(filter, cursor: cursor), now: now)
        case .capture(let wanted): pending.answer(startCapture(wanted, now: now))
        case .readCapture(let number, let stop): pending.answer(readCapture(number, stop: stop, now: now))
        case .trace(let target, let after, let limit):
            let status = core.trace(target, after: after, limit: limit, now: now)
            pending.answer(
                status.map { .trace($0) }
                    ?? .failure("enough is traced already: a trace ends when nobody has read it for a minute"))
        case .explain(let question):
            if question.isWholeConnection {
                enqueue(pending, .explain(question), now: now)
            } else {
                pending.answer(.explain(core.explain(question, answer: nil, now: now)))
            }
        }
    }

    private mutating func rotateKeys(
        _ loaded: LoadedConfiguration?, _ key: UInt8?, _ isForced: Bool, now: UInt64
    ) -> OperatorResponse {
        guard let ring = loaded?.keys, let files = loaded?.configuration?.crtp.keyFiles else {
            return .failure("the configuration was not read")
        }
        do throws(OperatorRefusal) {
            try core.rotateKeys(
                ring, files: files, to: key, isForced: isForced, seconds: Int64(time(nil)), now: now)
            return .keys(core.keyStatus())
        } catch {
            return .failure("\(error)")
        }
    }

    private mutating func reload(_ loaded: LoadedConfiguration?, _ isDryRun: Bool, now: UInt64) -> OperatorResponse {
        guard let loaded, let configuration = loaded.configuration, let keys = loaded.keys else {
            return .failure("the configuration was not read")
        }
        var status = ReloadStatus()
        status.file = loaded.file
        status.warnings = loaded.problems.map(\.description)
        if isDryRun {
            status.changes = core.changes(to: configuration)
            status.refusal = core.refusal(of: configuration, keys: keys)?.description
            return .reload(status)
        }
        do throws(OperatorRefusal) {
            status.changes = try core.reload(configuration, keys: keys, now: now)
        } catch {
            return .failure("\(loaded.file): \(error)")
        }
        status.applied = true
        sink.change(level: configuration.logLevel, linesPerSecond: configuration.logLinesPerSecond)
        return .reload(status)
    }

    private func status(now: UInt64) -> DirectorStatus {
        var status = core.status(workers: workers.map(\.counters), now: now)
        status.version = version
        status.packetBuffers = pools.map(\.size).reduce(0, +)
        status.packetBuffersFree = pools.map(\.available).reduce(0, +)
        status.clockHertz = Environment.timestampHertz
        status.ports = ports.client.map { portStatus($0, "client") } + ports.server.map { portStatus($0, "server") }
        for index in status.workers.indices { status.workers[index].lcore = workers[index].lcore }
        noteHealth(in: &status)
        return status
    }

    private func portStatus(_ port: Port, _ side: String) -> PortStatus {
        let totals = port.totals()
        var status = PortStatus()
        status.name = port.name
        status.side = side
        status.link = port.hasLink
        status.receivedPackets = totals.receivedPackets
        status.receivedBytes = totals.receivedBytes
        status.transmittedPackets = totals.transmittedPackets
        status.transmittedBytes = totals.transmittedBytes
        status.missed = totals.missed
        status.errors = totals.errors
        return status
    }

    private func noteHealth(in status: inout DirectorStatus) {
        let ticks = Environment.timestamp
        for index in status.workers.indices {
            let age = ticks &- min(workers[index].heartbeat.lastBeat, ticks)
            status.workers[index].beatSeconds = Double(age) / Double(Environment.timestampHertz)
        }
        status.links = LinkStatus(
            client: portLinks.contains { $0.isUp(.client) }, server: portLinks.contains { $0.isUp(.server) })
    }
}
