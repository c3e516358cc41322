import NIOCore

extension HTTPPath {
    static func metrics(_ mailbox: OperatorMailbox) -> HTTPPath {
        HTTPPath { reply in
            mailbox.ask(.status) { status in
                mailbox.ask(.proxies) { proxies in
                    guard case .status(let status) = status, case .proxies(let proxies) = proxies else {
                        return reply(.noAnswer)
                    }
                    var answer = HTTPReply(MetricsText.of(status, proxies))
                    answer.type = MetricsText.contentType
                    reply(answer)
                }
            }
        }
    }
}

extension OperatorMailbox {
    /// A full mailbox answers for itself.
    func ask(_ request: OperatorRequest, _ answer: @escaping @Sendable (OperatorResponse) -> Void) {
        if !submit(request, answer: answer) { answer(.failure("too many requests wait")) }
    }
}
