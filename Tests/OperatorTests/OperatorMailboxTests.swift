import Foundation
import Operator
import Synchronization
import Testing

/// The way between the control socket's thread and the control core's.
@Suite struct OperatorMailboxTests {
    private final class Answers: Sendable {
        let list = Mutex<[OperatorResponse]>([])
        var all: [OperatorResponse] { list.withLock { $0 } }
        func add(_ response: OperatorResponse) { list.withLock { $0.append(response) } }
    }

    private func isReadable(_ mailbox: OperatorMailbox) -> Bool {
        var poller = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&poller, 1, 0) == 1
    }

    @Test func theDescriptorIsReadableWhileRequestsWait() {
        let mailbox = OperatorMailbox()
        #expect(!isReadable(mailbox))
        for _ in 0..<3 { #expect(mailbox.submit(.status) { _ in }) }
        #expect(isReadable(mailbox))
        #expect(mailbox.take(limit: 2).count == 2)
        #expect(isReadable(mailbox))
        #expect(mailbox.take(limit: 2).count == 1)
        #expect(!isReadable(mailbox))
        #expect(mailbox.take().isEmpty)
    }

    @Test func aFullMailboxRefuses() {
        let mailbox = OperatorMailbox(capacity: 2)
        let answers = Answers()
        #expect(mailbox.submit(.status, answer: answers.add))
        #expect(mailbox.submit(.status, answer: answers.add))
        #expect(!mailbox.submit(.status, answer: answers.add))
        #expect(answers.all == [])
    }

    @Test func onlyTheFirstAnswerCounts() {
        let mailbox = OperatorMailbox()
        let answers = Answers()
        #expect(mailbox.submit(.bypass(nil), answer: answers.add))
        for request in mailbox.take() {
            request.answer(.bypass(BypassStatus(bypass: true)))
            request.answer(.failure("late"))
        }
        #expect(answers.all == [.bypass(BypassStatus(bypass: true))])
    }

    @Test func aForgottenRequestAnswersForItself() {
        let mailbox = OperatorMailbox()
        let answers = Answers()
        #expect(mailbox.submit(.proxies, answer: answers.add))
        _ = mailbox.take()
        #expect(answers.all == [.failure("the director gave no answer")])
    }

    /// Four threads submit while one takes: nobody is forgotten, and the descriptor always tells.
    @Test func manySubmittersAndOneTaker() {
        let mailbox = OperatorMailbox(capacity: 4)
        let answered = Atomic<Int>(0)
        let each = 2_000
        for _ in 0..<4 {
            Thread.detachNewThread {
                for _ in 0..<each {
                    while !mailbox.submit(.status, answer: { _ in answered.add(1, ordering: .relaxed) }) {
                        sched_yield()
                    }
                }
            }
        }
        var taken = 0
        while taken < 4 * each {
            var poller = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, 10_000) == 1 else { break }
            for request in mailbox.take(limit: 3) {
                request.answer(.failure("no"))
                taken += 1
            }
        }
        #expect(taken == 4 * each)
        #expect(answered.load(ordering: .relaxed) == 4 * each)
    }
}
