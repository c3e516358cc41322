internal import NIOCore
import Synchronization
internal import Wire

/// The exchanges at a listener, by name. On its event loop.
final class HTTPExchanges: @unchecked Sendable {
    let inbox: StreamInbox
    let bounds: StreamBounds
    private let served: ServedCount
    private var guests: [String: HTTPGuest] = [:]
    /// Connections of all of them, and of strangers.
    var connections = 0

    init(inbox: StreamInbox, bounds: StreamBounds, served: ServedCount) {
        self.inbox = inbox
        self.bounds = bounds
        self.served = served
    }

    /// The exchange of that name, a new one if there is none; nil when there are too many.
    func guest(_ name: String, of peer: Endpoint, on eventLoop: any EventLoop) -> HTTPGuest? {
        // Whatever the address: an intermediary may have several, and nobody can guess a name.
        if let known = guests[name] { return known }
        guard served.count.load(ordering: .relaxed) < bounds.connections else { return nil }
        served.count.add(1, ordering: .relaxed)
        let guest = HTTPGuest(name, peer, on: eventLoop, self)
        guests[name] = guest
        inbox.put(.opened(peer), of: guest)
        return guest
    }

    func forget(_ guest: HTTPGuest, _ end: StreamEnd) {
        guard guests[guest.name] === guest else { return }
        guests[guest.name] = nil
        inbox.put(.closed(guest.peer, end, retryMicroseconds: 0), of: guest)
    }
}
