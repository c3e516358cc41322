import Control
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// One snapshot a second, the same for everybody who looks: what the page costs does not depend on how many do.
final class PageFeed: Sendable {
    private struct State {
        var history = PageHistory()
        var json: ByteBuffer?
        /// When `json` was made, microseconds.
        var madeAt: UInt64 = 0
        var isAsking = false
    }

    private let state = Mutex(State())
    private let mailbox: OperatorMailbox

    init(_ mailbox: OperatorMailbox) { self.mailbox = mailbox }

    /// Asks the director, unless its last answer is still awaited.
    func refresh() {
        let isFree = state.withLock { state in
            defer { state.isAsking = true }
            return !state.isAsking
        }
        guard isFree else { return }
        mailbox.ask(.status) { status in
            self.mailbox.ask(.proxies) { proxies in
                self.mailbox.ask(.transfers(limit: PageSnapshot.transferLimit)) { transfers in
                    self.take(status, proxies, transfers)
                }
            }
        }
    }

    private func take(_ status: OperatorResponse, _ proxies: OperatorResponse, _ transfers: OperatorResponse) {
        state.withLock { state in
            state.isAsking = false
            guard case .status(let status) = status, case .proxies(let proxies) = proxies,
                case .transfers(let transfers) = transfers
            else { return }
            let now = clockMicroseconds(CLOCK_REALTIME)
            state.history.add(status, proxies, milliseconds: now / 1_000)
            let snapshot = PageSnapshot(status, proxies, transfers, state.history, milliseconds: now / 1_000)
            state.json = ByteBuffer(bytes: jsonLine(snapshot))
            state.madeAt = clockMicroseconds(CLOCK_MONOTONIC)
        }
    }

    /// The latest snapshot with its age; a director that has never answered is said to be unavailable.
    var reply: HTTPReply {
        state.withLock { state in
            guard let json = state.json else {
                return HTTPReply("the director has not answered yet\n", status: .serviceUnavailable)
            }
            var reply = HTTPReply("")
            reply.body = json
            reply.type = "application/json"
            reply.headers = [("Age", "\((clockMicroseconds(CLOCK_MONOTONIC) - state.madeAt) / 1_000_000)")]
            return reply
        }
    }
}
