import Synchronization

/// Frames that wait to be sent, bounded in bytes. Any thread puts; the carrier takes.
final class FrameOutbox: Sendable {
    private struct Waiting {
        var frames: [[UInt8]] = []
        var bytes = 0
    }
    private let waiting = Mutex(Waiting())
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    var isEmpty: Bool { waiting.withLock { $0.frames.isEmpty } }

    /// `isFirst`: the taker knows of none yet.
    func put(_ frame: [UInt8]) -> (hasRoom: Bool, isFirst: Bool) {
        waiting.withLock { waiting in
            guard waiting.bytes + frame.count <= limit else { return (false, false) }
            waiting.frames.append(frame)
            waiting.bytes += frame.count
            return (true, waiting.frames.count == 1)
        }
    }

    /// The oldest ones.
    func take(_ most: Int) -> [[UInt8]] {
        waiting.withLock { waiting in
            let taken = Array(waiting.frames.prefix(most))
            waiting.frames.removeFirst(taken.count)
            waiting.bytes -= taken.reduce(0) { $0 + $1.count }
            return taken
        }
    }
}
