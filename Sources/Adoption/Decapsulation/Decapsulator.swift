internal import CDatagrams
import Glibc
internal import Logging
import Synchronization
internal import Wire

/// Takes clients' packets out of the directors' and gives them to the kernel, whose packet filter finds the adopted
/// socket as it does for what comes by Ethernet. Keeps nothing of any connection.
final class Decapsulator: Sendable {
    private let settings: DecapsulationSettings
    private let directors: [AddressPrefix]
    private let identifiers: FlowIdentifiers
    private let device: TunnelDevice
    private let sockets: [TunnelSocket]
    private let wakePipe: WakePipe
    private let isStopped = Atomic<Bool>(false)
    private let logger: Logger

    /// What became of packets. A director's counters say how many it has sent.
    private struct Counts {
        var delivered: UInt64 = 0
        var strangers: UInt64 = 0
        var refused: UInt64 = 0
        /// Too long for the buffer, or marked as congested where nobody can hear of it.
        var dropped: UInt64 = 0
        /// The kernel has not taken them.
        var undelivered: UInt64 = 0
        /// With the identifier of a flow that this agent has not given anybody.
        var unknown: UInt64 = 0
    }

    /// Opens everything, which needs privileges. `directors` are who may send, `identifiers` what their packets may be
    /// marked with.
    init(
        _ settings: DecapsulationSettings, from directors: [AddressPrefix], identifiers: FlowIdentifiers,
        logger: Logger
    ) throws {
        self.settings = settings
        self.identifiers = identifiers
        self.directors = directors
        self.logger = logger
        device = try TunnelDevice(settings.device)
        sockets = try settings.addresses.flatMap { try TunnelSocket.open(settings.kind, at: $0) }
        wakePipe = try WakePipe()
    }

    /// To be followed by `start` at once: what comes in between waits.
    func listen() throws(SystemFailure) { for socket in sockets { try socket.listen() } }

    func start() {
        logger.notice(
            "takes encapsulated packets",
            metadata: ["kind": "\(settings.kind)", "device": "\(settings.device)", "at": "\(settings.addresses)"])
        Thread.detach("decapsulator") { [self] in run() }
    }

    /// For a successor, which has sockets of its own.
    func stop() {
        isStopped.store(true, ordering: .releasing)
        wakePipe.wake()
    }

    private func run() {
        let slots = UnsafeMutablePointer<tunnelled>.allocate(capacity: Int(tunnelled_batch))
        defer { slots.deallocate() }
        var counts = Counts()
        var waits = (sockets.map(\.descriptor) + [wakePipe.readingEnd]).map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        var nextComplaint: UInt64 = 0
        while !isStopped.load(ordering: .acquiring) {
            guard poll(&waits, nfds_t(waits.count), -1) > 0 else { continue }
            for (index, socket) in sockets.enumerated() where waits[index].revents != 0 {
                takeBatch(socket, slots, &counts)
            }
            let now = monotonicMicroseconds()
            if counts.strangers + counts.refused + counts.dropped + counts.undelivered + counts.unknown > 0,
                now >= nextComplaint
            {
                complain(counts)
                counts = Counts()
                nextComplaint = now + 10_000_000
            }
        }
        for socket in sockets { close(socket.descriptor) }
        close(device.descriptor)
    }

    private func takeBatch(
        _ socket: TunnelSocket, _ slots: UnsafeMutablePointer<tunnelled>, _ counts: inout Counts
    ) {
        for index in 0..<Int(tunnelled_receive(socket.descriptor, slots)) {
            take(slots + index, socket, &counts)
        }
    }

    private func take(_ slot: UnsafeMutablePointer<tunnelled>, _ socket: TunnelSocket, _ counts: inout Counts) {
        guard let peer = source(of: &slot.pointee.peer), directors.contains(where: { $0.contains(peer) }) else {
            return counts.strangers += 1
        }
        guard slot.pointee.is_cut == 0 else { return counts.dropped += 1 }
        var payload = UnsafeMutableRawBufferPointer(start: tunnelled_bytes(slot), count: Int(slot.pointee.length))
        if socket.showsHeader {
            // The kernel has checked it.
            guard let first = payload.first, Int(first & 15) * 4 <= payload.count else { return counts.refused += 1 }
            payload = UnsafeMutableRawBufferPointer(rebasing: payload[(Int(first & 15) * 4)...])
        }
        guard
            let contents = try? EncapsulatedPacket.contents(
                of: UnsafeRawBufferPointer(payload), kind: settings.kind, network: settings.network)
        else { return counts.refused += 1 }
        if contents.flow != 0, !identifiers.isKnown(contents.flow) {
            counts.unknown += 1
            // VXLAN's network separates those who may from those who may not; GUE's word only tells.
            if settings.kind == .vxlan { return counts.refused += 1 }
        }
        let packet = UnsafeMutableRawBufferPointer(rebasing: payload[contents.range])
        guard EncapsulatedPacket.combineMarks(packet.baseAddress!, outer: slot.pointee.traffic_class) else {
            return counts.dropped += 1
        }
        if device.deliver(UnsafeRawBufferPointer(packet)) { counts.delivered += 1 } else { counts.undelivered += 1 }
    }

    private func source(of peer: inout sockaddr_in6) -> IPAddress? {
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { target in
            withUnsafeBytes(of: &peer) { target.copyMemory(from: $0) }
        }
        return Endpoint(storage)?.address
    }

    private func complain(_ counts: Counts) {
        logger.warning(
            "packets on the directors' way were dropped",
            metadata: [
                "strangers": "\(counts.strangers)", "refused": "\(counts.refused)", "dropped": "\(counts.dropped)",
                "undelivered": "\(counts.undelivered)", "unknown_flows": "\(counts.unknown)",
                "delivered": "\(counts.delivered)",
            ])
    }
}
