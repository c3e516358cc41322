import Control
import Foundation

extension OperatorConsole {
    /// How a proxy was emptied.
    public struct Evacuation: Encodable {
        public var proxy: String
        /// Connections that others went on with.
        public var moved: UInt64
        /// Those that are still there.
        public var left: Int
        /// Seconds since the beginning.
        public var seconds: Double
        /// Its channel's: while it is not up, nobody knows what the proxy has.
        public var state: String

        public var isComplete: Bool { left == 0 && isKnown }
        var isKnown: Bool { state == "draining" }

        public var text: String {
            !isKnown
                ? "\(printable(proxy)) is \(printable(state)): nobody knows which connections it has"
                : isComplete
                    ? "\(printable(proxy)) is empty: \(moved) connections went on elsewhere"
                    : "\(printable(proxy)) still has \(left) connections, \(moved) went on elsewhere: "
                        + "those left are tunnels, answers that only this proxy can give, or clients that no other proxy takes"
        }
    }

    /// Empties a proxy, and waits until nothing is left or the time is up.
    /// - Parameter progress: called with a line whenever something has changed.
    public func evacuate(
        _ proxy: String, seconds: Double, progress: (String) -> Void
    ) throws(ControlClientProblem) -> (Evacuation, text: String) {
        let start = ContinuousClock.now
        let deadline = start + .seconds(seconds)
        let parameters: [String: JSONValue] = ["proxy": .string(proxy), "state": .string("evacuate")]
        var status = try client.call(ProxyStatus.self, "proxy", parameters)
        let movedBefore = status.movedAway
        var told = -1
        // A director that has just started hears from its agents what they have.
        func isDone() -> Bool { status.state == "draining" && status.committedFlows + status.pendingTransfers == 0 }
        while !isDone(), ContinuousClock.now < deadline {
            if told != status.committedFlows {
                told = status.committedFlows
                progress("\(printable(proxy)): \(status.movedAway - movedBefore) moved, \(told) left")
            }
            usleep(50_000)
            status = try client.call([ProxyStatus].self, "proxies").first { $0.name == proxy } ?? status
        }
        let took = start.duration(to: .now)
        let evacuation = Evacuation(
            proxy: proxy, moved: status.movedAway - movedBefore, left: status.committedFlows + status.pendingTransfers,
            seconds: Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18, state: status.state)
        return (evacuation, isJSON ? Self.line(evacuation) : evacuation.text)
    }
}
