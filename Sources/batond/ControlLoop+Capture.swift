import Control
import Datagrams
import FastPath
import Glibc
import InterCore
import Operator
import Wire

/// Carries a capture's orders to the workers and their packets to the session.
extension ControlLoop {
    mutating func startCapture(_ wanted: CaptureRequest, now: UInt64) -> OperatorResponse {
        if let capture {
            return .failure("capture \(capture.capture) is under way, and there is only one at a time")
        }
        guard workers.allSatisfy({ $0.capture.orders.hasRoom(for: 2) }) else {
            return .failure("a worker has not yet heard of the end of the last capture; try again")
        }
        var request = wanted
        if let name = request.proxy {
            guard let proxy = core.proxyIndex(named: name) else { return .failure("no proxy is named '\(name)'") }
            request.order.proxy = proxy
        }
        captures += 1
        request.order.capture = captures
        capture = CaptureSession(
            capture: captures, request, sides: sides, application: "batond \(version)",
            clock: CaptureSession.Clock(
                timestamp: Environment.timestamp, hertz: Environment.timestampHertz, nanoseconds: wallNanoseconds()),
            now: now)
        captureLossesBefore = captureLosses
        order(request.order)
        return .capture(CaptureStatus(capture: captures, request))
    }

    mutating func readCapture(_ number: UInt32, stop: Bool, now: UInt64) -> OperatorResponse {
        guard capture?.capture == number, var session = capture.take() else {
            return .failure("there is no capture \(number): it has ended, or nobody took its blocks")
        }
        if stop { session.end("on demand") }
        let page = session.read(now: now)
        capture = session
        return .capturePage(page)
    }

    /// Takes what workers have captured; a bounded number each turn. Before their events, so that `settleCapture` knows
    /// of every transfer that a packet belongs to.
    mutating func takeCaptured() {
        guard capture != nil else { return }
        for index in workers.indices {
            let packets = workers[index].capture.packets
            for _ in 0..<Self.batch {
                let taken: Void? = packets.pop { packet, frame in capture?.note(packet, frame) }
                guard taken != nil else { break }
            }
        }
    }

    mutating func settleCapture(now: UInt64) {
        guard var session = capture.take() else { return }
        let wasOn = session.ended == nil || !isCaptureOff
        session.settle(core, lost: captureLosses - captureLossesBefore, now: now)
        if session.ended != nil, wasOn { order(.off) }
        if !session.isOver(now: now) { capture = session }
    }

    /// A frame of the channel; `isOwn`: on its way out.
    mutating func noteDatagram(_ datagram: [UInt8], _ peer: Endpoint, isOwn: Bool) {
        guard let request = capture?.request, request.includesCRTP else { return }
        if request.order.proxy != .none, core.proxyAddress(request.order.proxy) != peer { return }
        let local = localEndpoint(for: peer)
        capture?.note(
            datagram: datagram, from: isOwn ? local : peer, to: isOwn ? peer : local, isOwn: isOwn,
            timestamp: Environment.timestamp)
    }

    /// The unspecified address is shown in the peer's family.
    private func localEndpoint(for peer: Endpoint) -> Endpoint {
        guard var local = endpoint.local else { return Endpoint(.unspecified, port: 0) }
        if peer.address.isV4, !local.address.isV4 { local.address = IPAddress(v4: 0) }
        return local
    }

    private mutating func order(_ order: CaptureOrder) {
        isCaptureOff = !order.isOn
        for index in workers.indices {
            _ = workers[index].capture.orders.push(order)
            workers[index].backlog.append(.capture)
        }
    }

    private var captureLosses: UInt64 {
        workers.reduce(0) { $0 + $1.counters[.captureLost] + $1.counters[.captureLimited] }
    }
}

/// Since 1970.
private func wallNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
