import Control
import Operator

/// An operator's question about flows, which workers answer in their own time.
struct PendingListing {
    let request: PendingRequest
    let filter: FlowFilter
    /// nil: counts.
    let limit: Int?
    let cursor: FlowCursor?
    let askedAt: UInt64

    /// Who asked has given up by then.
    static var patienceMicroseconds: UInt64 { 5_000_000 }
}

/// One listing at a time is under way: the first of those that wait.
extension ControlLoop {
    mutating func serveListings(now: UInt64) {
        if isListing {
            guard let answer = core.takeFlows(now: now) else { return }
            isListing = false
            let listing = listings.removeFirst()
            listing.request.answer(listing.limit == nil ? .flowCounts(answer) : .flows(answer))
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
            try core.beginFlows(listing.filter, limit: listing.limit, from: listing.cursor, now: now)
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
