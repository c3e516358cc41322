import Control
import Streams
import Wire

/// Carries frames and news between the control core and the connections to proxies.
extension ControlLoop {
    mutating func takeStreamEvents(now: UInt64) -> Int {
        let events = streams.take()
        for event in events {
            switch event {
            case .opened(let peer): core.connected(peer, now: now)
            case .frame(let frame, let peer):
                core.receiveFrame(frame, from: peer, now: now)
                if capture != nil { noteDatagram(frame, peer, isOwn: false) }
            case .closed(let peer, let end, let retry), .failed(let peer, let end, let retry):
                core.disconnected(
                    peer,
                    ConnectionEnd(reason: end.reason.rawValue, detail: end.detail, retryMicroseconds: retry), now: now)
            }
        }
        return events.count
    }

    mutating func send(_ frame: [UInt8], to peer: Endpoint, now: UInt64) {
        switch streams.send(frame, to: peer) {
        case .notMine: endpoint.send(frame, to: peer, now: now)
        case .sent: break
        case .full, .notConnected: core.undelivered(to: peer)
        }
    }
}

extension StreamPeer {
    init(_ proxy: DirectorConfiguration.Proxy, _ tls: DirectorConfiguration.TLSSettings) {
        self.init(proxy.address)
        isHTTP = proxy.transport == .http
        guard proxy.transport == .tls else { return }
        let files = TLSFiles(authority: tls.authority, certificate: tls.certificate, key: tls.key)
        security = Security(files: files, serverName: proxy.serverName)
    }
}

extension StreamEnd {
    init(_ fault: ConnectionFault) {
        switch fault {
        case .silent: self.init(.silent, "KEEPALIVEs are not answered")
        case .unauthenticated: self.init(.unauthenticated, "frames came that the agent cannot have sent")
        }
    }
}
