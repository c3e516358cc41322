internal import FirstFlight
package import InterCore
package import Wire

/// The first datagrams of UDP flows that are held, as far as they have been read. One entry for each held flow, until the
/// worker says what became of it.
package struct FirstFlights: Sendable {
    package enum Reading: Equatable, Sendable {
        /// More datagrams are needed.
        case incomplete
        /// The flow's name is known already.
        case decided
        case named([UInt8], ALPN)
        case unreadable
    }

    private enum Flight: Sendable {
        case incomplete(QUICFirstFlight)
        case decided
    }

    private var flights: [FlowHandle: Flight] = [:]

    package init() {}

    package var count: Int { flights.count }

    /// - Parameter limit: flows at once; beyond it nothing is read.
    package mutating func read(_ datagram: HeldDatagram, _ payload: UnsafeRawBufferPointer, limit: Int) -> Reading {
        var flight = QUICFirstFlight()
        switch flights[datagram.handle] {
        case .decided: return .decided
        case .incomplete(let earlier): flight = earlier
        case nil: if flights.count >= limit { return .unreadable }
        }
        let reading = Self.read(datagram, payload, &flight)
        flights[datagram.handle] = reading == .incomplete ? .incomplete(flight) : .decided
        return reading
    }

    /// A datagram that nothing follows.
    package static func readAlone(_ datagram: HeldDatagram, _ payload: UnsafeRawBufferPointer) -> Reading {
        var flight = QUICFirstFlight()
        return read(datagram, payload, &flight)
    }

    private static func read(
        _ datagram: HeldDatagram, _ payload: UnsafeRawBufferPointer, _ flight: inout QUICFirstFlight
    ) -> Reading {
        if datagram.application == .dns {
            return DNSQuestion(payload).map { .named($0.name, []) } ?? .unreadable
        }
        switch flight.take(payload) {
        case .incomplete: return .incomplete
        case .named(let name, let alpn): return .named(name, alpn)
        case .unsuitable: return .unreadable
        }
    }

    package mutating func forget(_ handle: FlowHandle) { flights[handle] = nil }
}
