internal import CRTP
public import Wire

/// What the control core holds against a connection that carries a channel's frames.
public enum ConnectionFault: String, Equatable, Sendable {
    /// Frames came that nobody with the key has sent.
    case unauthenticated
    /// KEEPALIVEs were not answered.
    case silent
}

/// Why a connection is no more, or was not made.
public struct ConnectionEnd: Equatable, Sendable {
    /// One of a few words, for counters.
    public var reason: String
    /// For people.
    public var detail: String
    /// Until the next attempt.
    public var retryMicroseconds: UInt64

    public init(reason: String, detail: String, retryMicroseconds: UInt64) {
        self.reason = reason
        self.detail = detail
        self.retryMicroseconds = retryMicroseconds
    }
}

// Channels over TCP: a connection comes and goes, and the channel with it. `batond` makes the connections.
extension ControlCore {
    /// Frames in a row that are not the agent's, after which the connection is given up.
    package static var strangeFrameLimit: Int { 16 }

    /// Opens the channel, or the connection first that is to carry it.
    package mutating func open(_ index: Int, now: UInt64) {
        let proxy = proxies[index]
        if proxy.configuration.transport.isStream {
            guard proxy.connection.isOpen else {
                return actions.append(.connect(proxy.configuration, configuration.crtp.tls))
            }
        }
        proxies[index].channel.start(now: now)
        drainChannel(index, now: now)
    }

    /// A frame came over the connection to `peer`.
    public mutating func receiveFrame(_ frame: [UInt8], from peer: Endpoint, now: UInt64) {
        guard let index = streamIndex(peer) else { return counters.add(.unknownPeer) }
        let accepted = proxies[index].channel.counters.accepted
        receive(frame, of: index, now: now)
        guard proxies[index].channel.counters.accepted == accepted else {
            return proxies[index].connection.strangeFrames = 0
        }
        proxies[index].connection.strangeFrames += 1
        guard proxies[index].connection.strangeFrames == Self.strangeFrameLimit else { return }
        actions.append(.reconnect(peer, .unauthenticated))
    }

    /// A connection to `peer` is there.
    public mutating func connected(_ peer: Endpoint, now: UInt64) {
        guard let index = streamIndex(peer) else { return }
        proxies[index].connection.isOpen = true
        proxies[index].connection.strangeFrames = 0
        proxies[index].connection.made += 1
        log(.info, "proxy connected") { core in
            let proxy = core.proxies[index].configuration
            return [("proxy", proxy.name), ("transport", proxy.transport.rawValue)]
        }
        if case .retired = proxies[index].phase { return }
        if proxies[index].wish != .down { open(index, now: now) }
    }

    /// The connection to `peer` is gone, or an attempt has failed. Whatever waits for an answer will have none: it is the
    /// same as silence, only known at once.
    public mutating func disconnected(_ peer: Endpoint, _ end: ConnectionEnd, now: UInt64) {
        guard let index = streamIndex(peer) else { return }
        let wasOpen = proxies[index].connection.isOpen
        proxies[index].connection.isOpen = false
        proxies[index].connection.ends[end.reason, default: 0] += 1
        log(.warning, wasOpen ? "proxy connection lost" : "proxy cannot be connected") { core in
            let proxy = core.proxies[index].configuration
            return [
                ("proxy", proxy.name), ("address", "\(proxy.address)"), ("transport", proxy.transport.rawValue),
                ("reason", end.reason), ("detail", end.detail), ("again_in_ms", "\(end.retryMicroseconds / 1_000)"),
            ]
        }
        proxies[index].channel.disconnect()
        drainChannel(index, now: now)
    }

    /// A frame could not be handed over: the peer does not read, or there is no connection. It is lost like a datagram.
    public mutating func undelivered(to peer: Endpoint) {
        guard let index = streamIndex(peer) else { return }
        proxies[index].connection.undelivered += 1
    }

    // MARK: Reload

    /// A proxy that was kept may have got another way.
    package mutating func changeConnection(_ index: Int, from former: DirectorConfiguration.Proxy, now: UInt64) {
        let latest = proxies[index].configuration
        guard latest.transport != former.transport else {
            if latest.serverName != former.serverName, latest.transport.isStream {
                actions.append(.connect(latest, configuration.crtp.tls))
            }
            return
        }
        proxies[index].channel.stop(now: now)
        drainChannel(index, now: now)
        if former.transport.isStream { actions.append(.disconnect(former.address)) }
        proxies[index].connection.isOpen = false
        if proxies[index].wish != .down { open(index, now: now) }
    }

    /// Other files: they count from the next connections on.
    package mutating func renewConnections() {
        for proxy in proxies where proxy.phase != .free && proxy.configuration.transport == .tls {
            actions.append(.connect(proxy.configuration, configuration.crtp.tls))
        }
    }

    private func streamIndex(_ peer: Endpoint) -> Int? {
        proxyByEndpoint[peer].flatMap { proxies[$0].configuration.transport.isStream ? $0 : nil }
    }
}

/// The connection that carries a proxy's frames, where they are no datagrams.
package struct ProxyConnection: Sendable {
    package var isOpen = false
    /// In a row: not authentic, or no answer to anything.
    package var strangeFrames = 0
    /// Connections that were made.
    package var made: UInt64 = 0
    /// Connections that ended, and attempts that failed, by reason.
    package var ends: [String: UInt64] = [:]
    /// Frames that found no connection, or one that took no more.
    package var undelivered: UInt64 = 0
}
