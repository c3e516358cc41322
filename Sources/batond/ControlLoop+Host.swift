import Adoption
import Control
import FastPath
import InterCore
import Logging

/// On a host: the agent's replays, and the way to leave without losing anybody's connection.
extension ControlLoop {
    /// What the agent wants; how much that was.
    mutating func takeReplays(now: UInt64) -> Int { replays?.takeWishes(atMost: Self.batch, now: now) ?? 0 }

    /// Tells the worker and the agent.
    mutating func performReplays() {
        guard let commands = replays?.takeCommands() else { return }
        for command in commands { workers[0].backlog.append(command) }
        replays?.flush()
    }

    /// True when the host's interface can be given back: no connection goes another way than the host's kernel would
    /// take. The first call begins that: no connection is taken from anybody or given to anybody from then on.
    mutating func isDrained(now: UInt64) -> Bool {
        guard let replays else { return true }
        // Flows that proxies have, and those whose last packets they may still have to send.
        let given = workers.reduce(0) { $0 + $1.counters[.committedFlows] + $1.counters[.closedFlows] }
        guard let drain else {
            drain = HostDrain(began: now, limit: drainMicroseconds)
            self.replays?.isDraining = true
            core.setBypass(true)
            logger.notice("draining", metadata: ["replayed": "\(replays.count)", "given": "\(given)"])
            return false
        }
        return drain.isOver(now: now, isIdle: replays.isEmpty(since: now), given: given)
    }
}
