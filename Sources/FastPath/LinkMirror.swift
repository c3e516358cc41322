/// One of the director's two sides.
public enum LinkSide: Int, Sendable, CaseIterable {
    case client, server

    public var other: LinkSide { self == .client ? .server : .client }
}

/// Whether each side's link should be up: a side that has lost its link takes the other's down as well, so that the
/// neighbours there look for another way, as they would with a plain cable (rule 14). Event in, orders out; no I/O.
///
/// A link that was set down says nothing about its cable; and set up again it takes seconds to come. So a side is:
///
///     up ──link lost──► down ──link back──► up            by itself
///     up ──other side down──► held ──other side up──► rising ──link back──► up
///                                                     rising ──patience ends──► down
///
/// Two sides that wait for each other cannot flap: a side that rises does not count as down.
public struct LinkMirror: Sendable {
    public enum State: Sendable, Equatable {
        case up
        /// It lost its link by itself.
        case down
        /// It was set down because the other side is.
        case held
        /// It was just set up, or started.
        case rising(since: UInt64)
    }

    public struct Order: Sendable, Equatable {
        public var side: LinkSide
        public var up: Bool

        public init(side: LinkSide, up: Bool) {
            self.side = side
            self.up = up
        }
    }

    private var states: [State]
    /// Sides whose drivers cannot be told.
    private var isFixed = [false, false]
    private let patience: UInt64

    /// - Parameter patience: how long a link may take to come up, in the unit of `now`.
    public init(now: UInt64, patience: UInt64) {
        states = [.rising(since: now), .rising(since: now)]
        self.patience = patience
    }

    public func state(of side: LinkSide) -> State { states[side.rawValue] }

    /// Takes what the ports say of their links; returns what is to be set.
    public mutating func observe(clientHasLink: Bool, serverHasLink: Bool, now: UInt64) -> [Order] {
        note(.client, hasLink: clientHasLink, now: now)
        note(.server, hasLink: serverHasLink, now: now)
        return LinkSide.allCases.compactMap { order(for: $0, now: now) }
    }

    /// The order could not be carried out: the side stays as it is, and gets no more of them.
    public mutating func refuse(_ order: Order) {
        isFixed[order.side.rawValue] = true
        states[order.side.rawValue] = .up
    }

    private mutating func note(_ side: LinkSide, hasLink: Bool, now: UInt64) {
        switch states[side.rawValue] {
        case .up: if !hasLink { states[side.rawValue] = .down }
        case .down: if hasLink { states[side.rawValue] = .up }
        case .held: break
        case .rising(let since):
            if hasLink {
                states[side.rawValue] = .up
            } else if now &- since >= patience {
                states[side.rawValue] = .down
            }
        }
    }

    private mutating func order(for side: LinkSide, now: UInt64) -> Order? {
        if isFixed[side.rawValue] { return nil }
        switch (states[side.rawValue], states[side.other.rawValue]) {
        case (.up, .down), (.rising, .down):
            states[side.rawValue] = .held
            return Order(side: side, up: false)
        case (.held, .up):
            states[side.rawValue] = .rising(since: now)
            return Order(side: side, up: true)
        case (.up, .up), (.up, .held), (.up, .rising), (.down, _), (.held, .down), (.held, .held), (.held, .rising),
            (.rising, .up), (.rising, .held), (.rising, .rising):
            return nil
        }
    }
}
