package import InterCore

// Ways to proxies: what workers are told of them, and what routers say of those beyond layer 2.
extension ControlCore {
    /// Workers learn how to get there, and then where.
    mutating func introduce(_ index: Int, _ hop: NextHop) {
        let encapsulation = proxies[index].encapsulation
        if encapsulation != nil { commandAll(.encapsulate(proxies[index].index, encapsulation)) }
        commandAll(.proxy(proxies[index].index, hop))
    }

    /// A router has dropped a packet to the proxy, since the next link takes only `mtu` bytes. Whoever can see the packets
    /// could say so; the bound keeps the harm small, and time mends it.
    package mutating func pathNarrowed(_ proxy: ProxyIndex, _ mtu: UInt16, now: UInt64) {
        let index = Int(proxy.value)
        guard index < proxies.count, let settings = proxies[index].configuration.encapsulation else { return }
        let narrower = max(mtu, settings.narrowestPath)
        guard narrower < proxies[index].pathMTU(settings) else { return }
        proxies[index].narrowPath = (narrower, now + Self.narrowPathMicroseconds)
        pathsDueAt = min(pathsDueAt ?? .max, now + Self.narrowPathMicroseconds)
        if let hop = proxies[index].nextHop { introduce(index, hop) }
        reviewOffers(now: now)
        log(.warning, "path to proxy is narrower") {
            [
                ("proxy", $0.proxies[index].configuration.name), ("mtu", "\(narrower)"),
                ("inner", "\(settings.innerMTU(path: narrower))"),
            ]
        }
    }

    /// RFC 1191 section 6.3: after ten minutes it may be wider again.
    package static var narrowPathMicroseconds: UInt64 { 600_000_000 }

    package mutating func widenPaths(now: UInt64) {
        pathsDueAt = nil
        for index in proxies.indices {
            guard let narrow = proxies[index].narrowPath else { continue }
            if narrow.until > now {
                pathsDueAt = min(pathsDueAt ?? .max, narrow.until)
                continue
            }
            proxies[index].narrowPath = nil
            if let hop = proxies[index].nextHop { introduce(index, hop) }
        }
    }
}
