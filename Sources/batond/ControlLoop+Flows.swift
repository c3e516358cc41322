import Control
import Operator

/// An operator's question about flows, which workers answer in their own time.
struct PendingListing {
    let request: PendingRequest
    let question: Question
    let askedAt: UInt64

    enum Question {
        case rows(FlowFilter, limit: Int, cursor: FlowCursor?)
        case counts(FlowFilter, cursor: FlowCursor?)
        /// A connection whose flow, if there is one, belongs into the answer.
        case explain(ExplainQuestion)
    }

    /// Who asked has given up by then.
    static var patienceMicroseconds: UInt64 { 5_000_000 }
}

/// One listing at a time is under way: the first of those that wait.
extension ControlLoop {
    mutating func enqueue(_ request: PendingRequest, _ question: PendingListing.Question, now: UInt64) {
        listings.append(PendingListing(request: request, question: question, askedAt: now))
    }

    mutating func serveListings(now: UInt64) {
        if isListing {
            guard let answer = core.takeFlows(now: now) else { return }
            isListing = false
            let listing = listings.removeFirst()
            switch listing.question {
            case .rows: listing.request.answer(.flows(answer))
            case .counts: listing.request.answer(.flowCounts(answer))
            case .explain(let question):
                listing.request.answer(.explain(core.explain(question, answer: answer, now: now)))
            }
        }
        while !isListing, let listing = listings.first {
            if now - listing.askedAt < PendingListing.patienceMicroseconds, begin(listing, now: now) {
                isListing = true
            } else {
                listings.removeFirst()
            }
        }
    }

    /// False when it was answered already.
    private mutating func begin(_ listing: PendingListing, now: UInt64) -> Bool {
        do {
            switch listing.question {
            case .rows(let filter, let limit, let cursor):
                try core.beginFlows(filter, limit: limit, from: cursor, now: now)
            case .counts(let filter, let cursor): try core.beginFlows(filter, limit: nil, from: cursor, now: now)
            case .explain(let question): core.beginFind(question.connection, now: now)
            }
            return true
        } catch {
            switch error {
            case .noProxy(let name): listing.request.answer(.failure("no proxy is named '\(name)'"))
            case .strangeCursor:
                listing.request.answer(.failure("the cursor is none of this director's: begin without one"))
            }
            return false
        }
    }
}
