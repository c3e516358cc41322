internal import CRTP
internal import Logging
package import Streams
package import Wire

// Directors whose channels are streams. A connection is a director's endpoint, and its end the channel's.
extension ControlLoop {
    /// Frames in a row that nobody with the key has sent, after which a connection is given up.
    private static var strangeFrameLimit: Int { 16 }

    /// Accepts connections from now on. Before `run`, and after the rights that nobody needs any more were given up.
    package func accept(from sockets: [ListeningSocket], identity: ServerIdentity?) throws {
        if sockets.isEmpty { return }
        let prefixes = settings.directors
        let listener = StreamListener(
            admits: { address in prefixes.contains { $0.contains(address) } }, wake: { [pipe] in pipe.wake() })
        if let identity { listener.use(identity) }
        for socket in sockets { try listener.accept(from: socket.descriptor, as: socket.kind) }
        streams = listener
    }

    /// Those who connect are shown this certificate from now on.
    func use(_ identity: ServerIdentity) { streams?.use(identity) }

    func receiveFromStreams() {
        guard let streams, streams.hasEvents else { return }
        for event in streams.take() {
            let now = monotonicMicroseconds()
            switch event {
            case .opened(let peer):
                logger.debug("connected", metadata: ["director": "\(peer)"])
                // Whoever has a channel of datagrams needs no connection from there.
                if responder.directors.contains(peer) { streams.refuse(peer) }
            case .frame(let frame, let peer): receive(frame, from: peer, streams, now)
            case .closed(let peer, let end, _):
                strangeFrames[peer] = nil
                // Anybody may connect, as often as he likes.
                let level: Logger.Level = responder.directors.contains(peer) ? .notice : .debug
                responder.disconnect(peer)
                logger.log(
                    level: level, "connection closed",
                    metadata: [
                        "director": "\(peer)", "reason": "\(end.reason.rawValue)", "detail": "\(end.detail)",
                    ])
            case .failed(let peer, let end, _):
                strangeFrames[peer] = nil
                logger.debug(
                    "connection refused",
                    metadata: ["from": "\(peer)", "reason": "\(end.reason.rawValue)", "detail": "\(end.detail)"])
            }
            flush(now)
        }
        let refused = streams.takeRefused()
        if refused > 0 {
            logger.warning("connections refused: there are too many", metadata: ["count": "\(refused)"])
        }
    }

    private func receive(_ frame: [UInt8], from peer: Endpoint, _ streams: StreamListener, _ now: UInt64) {
        let accepted = responder.counters.accepted
        responder.receive(frame, from: peer, now: now)
        if responder.counters.accepted > accepted {
            strangeFrames[peer] = 0
            return
        }
        strangeFrames[peer, default: 0] += 1
        if strangeFrames[peer] == Self.strangeFrameLimit {
            streams.close(
                peer, because: StreamEnd(.unauthenticated, "frames came that no director with a key has sent"))
        }
    }

    /// False when there is no connection from there.
    func sendByStream(_ frame: [UInt8], to director: Endpoint) -> Bool {
        guard let streams, streams.hasConnection(from: director) else { return false }
        // Lost when the director does not read: as a datagram would be.
        _ = streams.send(frame, to: director)
        return true
    }

    /// A successor takes over: connections cannot be passed on, so the directors make others, with it.
    func closeStreams() {
        guard let streams else { return }
        streams.stop()
        for director in responder.directors where streams.hasConnection(from: director) {
            responder.disconnect(director)
        }
    }

    /// The successor has failed. Without the rights of the start, a low port may be lost.
    func acceptAgain() {
        guard let streams else { return }
        do {
            for (endpoint, kind) in settings.connected {
                let socket = try ListeningSocket(endpoint, kind)
                try streams.accept(from: socket.descriptor, as: kind)
            }
        } catch {
            logger.error("no channel over TCP can be accepted any more", metadata: ["error": "\(error)"])
        }
    }
}
