internal import CRTP
import Glibc
internal import Logging
internal import Wire

extension ControlLoop {
    /// A successor is ready: gives it everything, and takes no further part. If the successor fails before it has said
    /// that it has all, nothing has happened, but that no frame was read for a moment.
    func handOver(_ handover: Handover) {
        defer { handover.isOver.raise() }
        let now = monotonicMicroseconds()
        closeStreams()
        // A cache's answer would come here.
        for number in asked.keys { _ = ledger.decided(number, .busy, now: now) }
        asked.removeAll()
        for number in blobs.awaited.keys { _ = ledger.decided(number, .busy, now: now) }
        blobs.awaited.removeAll()
        repeat {
            ledger.announceMore()
            flush(now)
        } while ledger.isAnnouncing
        do {
            try pass(to: handover)
            try handover.channel.expect(.taken)
            try succeed(by: handover.channel)
        } catch {
            logger.error("the successor has not taken over, this process goes on", metadata: ["error": "\(error)"])
            acceptAgain()
            return
        }
        handover.hasSucceeded = true
        // Their other ends are in the successor's hands.
        for (_, descriptor) in waiting.removeAll() { close(descriptor) }
        services.adopter.release()
        let took = monotonicMicroseconds() - now
        logger.notice(
            "succeeded by another process", metadata: ["connections": "\(ledger.connections)", "took_us": "\(took)"])
    }

    private func pass(to handover: Handover) throws {
        let channel = handover.channel
        let state = Inheritance.encode(responder.succession, homes.mapValues(\.endpoint), ledger)
        var rest = state[...]
        while !rest.isEmpty {
            try channel.send(.state(Array(rest.prefix(30_000))))
            rest = rest.dropFirst(30_000)
        }
        try channel.send(.passing(.rendezvous), passing: handover.rendezvous)
        for socket in sockets { try channel.send(.passing(.control(socket.endpoint)), passing: socket.descriptor) }
        let numbers = Dictionary(uniqueKeysWithValues: waiting.all.map { ($0.descriptor, $0.number) })
        for adopter in services.adopter.passedOn {
            try channel.send(.passing(.adopter), passing: adopter.channel.descriptor)
            for (descriptor, handle) in adopter.handles {
                guard let number = numbers[descriptor] else { continue }
                try channel.send(.passing(.uncommitted(number: number, handle: handle)), passing: descriptor)
            }
        }
        try channel.send(.end)
    }

    /// Goes on where a predecessor has stopped. Before `run`.
    func resume(_ inheritance: Inheritance) {
        responder.resume(inheritance.channels)
        let channels = Set(responder.directors)
        for director in inheritance.channels.channels.map(\.director) where !channels.contains(director) {
            ledger.down(director)
        }
        ledger.resumeForwarders(responder.isForwarder)
        for (director, home) in inheritance.homes where channels.contains(director) {
            homes[director] = sockets.first { $0.endpoint == home }
        }
        for (number, descriptor) in inheritance.waiting { waiting.add(number, descriptor) }
    }
}

/// A successor that is ready to take over, and how it went.
package final class Handover: @unchecked Sendable {
    let channel: DescriptorChannel
    let rendezvous: CInt
    let isOver = OneTimeSignal()
    /// Read after `isOver`.
    var hasSucceeded = false

    init(_ channel: DescriptorChannel, rendezvous: CInt) {
        self.channel = channel
        self.rendezvous = rendezvous
    }
}
