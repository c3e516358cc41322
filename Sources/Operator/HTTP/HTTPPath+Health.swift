import Control
import NIOHTTP1

extension HTTPPath {
    /// 200 while the control core answers and every worker takes its turns: otherwise a start anew would help.
    static func live(_ mailbox: OperatorMailbox) -> HTTPPath { health(mailbox) { Health(live: $0) } }

    /// 200 while packets pass as well: both sides have a link. Proxies do not count: without one, everything goes to its
    /// origin, as it should.
    static func ready(_ mailbox: OperatorMailbox) -> HTTPPath { health(mailbox) { Health(ready: $0) } }

    private static func health(
        _ mailbox: OperatorMailbox, _ judge: @escaping @Sendable (DirectorStatus) -> Health
    ) -> HTTPPath {
        HTTPPath { reply in
            mailbox.ask(.status) { answer in
                // That a busy mailbox is full says nothing of a director's health, but it is no answer either.
                guard case .status(let status) = answer else { return reply(.noAnswer) }
                let health = judge(status)
                var answer = HTTPReply(
                    String(decoding: jsonLine(health), as: UTF8.self) + "\n",
                    status: health.ok ? .ok : .serviceUnavailable)
                answer.type = "application/json"
                reply(answer)
            }
        }
    }
}

extension HTTPReply {
    static var noAnswer: HTTPReply { HTTPReply("the director does not answer\n", status: .serviceUnavailable) }
}

/// The answer of `/live` and `/ready`.
package struct Health: Encodable, Equatable, Sendable {
    package var ok: Bool
    /// By name; `ok` is all of them.
    package var checks: [String: Bool]

    /// A worker that has not taken a turn for so long is not alive.
    package static var patienceSeconds: Double { 1 }

    package init(live status: DirectorStatus) {
        self.init(["workers": Self.workersAreAlive(status)])
    }

    package init(ready status: DirectorStatus) {
        self.init([
            "workers": Self.workersAreAlive(status), "clientLink": status.links.client,
            "serverLink": status.links.server,
        ])
    }

    private init(_ checks: [String: Bool]) {
        self.checks = checks
        ok = checks.values.allSatisfy { $0 }
    }

    private static func workersAreAlive(_ status: DirectorStatus) -> Bool {
        !status.workers.isEmpty && status.workers.allSatisfy { $0.beatSeconds < patienceSeconds }
    }
}
