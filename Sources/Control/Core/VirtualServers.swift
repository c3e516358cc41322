package import InterCore
package import Wire

/// The director's own addresses: what each of them promises, and how its origins do.
package struct VirtualServers: Sendable {
    package var servers: [VirtualServerRecord] = []
    /// In the order of their places.
    package var origins: [OriginRecord] = []
    /// Of the latest table that workers were given.
    package var generation: UInt32 = 0
    /// When an offer that waits for its time may change.
    package var offersDueAt: UInt64?
    package let cookieSecret: CookieSecret
    package let timestampOffset: UInt32

    /// The origins are a forwarder's classifiers, and every server's.
    package let areClassifiers: Bool

    /// What cookies are made with is drawn anew at each start.
    init(_ configuration: DirectorConfiguration, random: inout any RandomNumberGenerator & Sendable) {
        cookieSecret = CookieSecret(low: random.next(), high: random.next())
        timestampOffset = UInt32(truncatingIfNeeded: random.next())
        areClassifiers = configuration.role == .forwarder
        if areClassifiers {
            origins = configuration.classifiers.map { OriginRecord($0) }
            servers = configuration.virtualServers.map { VirtualServerRecord($0, origins: origins.indices) }
            return
        }
        for (index, server) in configuration.virtualServers.enumerated() {
            let places = origins.count..<origins.count + server.origins.count
            servers.append(VirtualServerRecord(server, origins: places))
            origins += server.origins.map { OriginRecord($0, of: server, index: index) }
        }
    }

    /// Two changes of one offer are so far apart at least: the cookies of the one before the former are lost, which a
    /// handshake under way has long returned by then.
    package static var offerPauseMicroseconds: UInt64 { 10_000_000 }
}

package struct VirtualServerRecord: Sendable {
    package let configuration: DirectorConfiguration.VirtualServer
    /// As workers have it.
    package var shared: VirtualServer
    package var offerChangedAt: UInt64?

    init(_ configuration: DirectorConfiguration.VirtualServer, origins: Range<Int>) {
        self.configuration = configuration
        shared = VirtualServer(configuration.address, offer: HandshakeOffer(configuration), origins: origins)
    }
}

package struct OriginRecord: Sendable {
    package let configuration: DirectorConfiguration.Origin
    /// Of its virtual server.
    package let server: Int
    /// `www/o1`; of a classifier its own name.
    package let name: String
    /// The way to a classifier.
    package var tunnel: DirectorConfiguration.EncapsulationSettings?
    package var health: OriginHealth
    package var mac: MACAddress
    /// Why it is up or down, as the last check has it.
    package var reason = "not checked yet"
    /// When it last came up or went down, or was found down at first.
    package var changedAt: UInt64?

    init(
        _ configuration: DirectorConfiguration.Origin, of server: DirectorConfiguration.VirtualServer, index: Int
    ) {
        self.configuration = configuration
        self.server = index
        name = "\(server.name)/\(configuration.name)"
        health = OriginHealth(server.check)
        mac = configuration.mac ?? .zero
        if server.check.isOff { reason = "not checked" }
    }

    init(_ classifier: DirectorConfiguration.Classifier) {
        configuration = classifier.origin
        server = 0
        name = classifier.name
        tunnel = classifier.encapsulation
        health = OriginHealth(classifier.check)
        mac = classifier.mac ?? .zero
        if classifier.check.isOff { reason = "not checked" }
    }

    /// As workers have it. Without an Ethernet address nothing can be sent there.
    package var shared: Origin {
        if let tunnel {
            // Which classifier a connection gets follows from the tunnels' far ends: all forwarders have the same ones.
            let hop = NextHop(mac: mac, mtu: tunnel.innerMTU(path: tunnel.mtu))
            let end = Endpoint(tunnel.address, port: configuration.address.port)
            return Origin(end, hop: hop, isUp: health.isUp && mac != .zero)
        }
        return Origin(configuration.address, hop: NextHop(mac: mac), isUp: health.isUp && mac != .zero)
    }
}

extension HandshakeOffer {
    /// What the origins keep.
    init(_ server: DirectorConfiguration.VirtualServer) {
        self.init(
            maximumSegmentSize: server.maximumSegment, window: server.window,
            windowScale: server.options.contains(.windowScale) ? Self.usualWindowScale : 0xFF,
            sack: server.options.contains(.sack), timestamps: server.options.contains(.timestamps))
    }

    /// Windows of up to 8 MB, as Linux has them.
    private static var usualWindowScale: UInt8 { 7 }
}
