import InterCore
import Wire

/// Which flows go to which proxy: a proxy's place is only given to another when no flow has it.
extension Worker {
    /// The flow goes to the proxy from now on; `.none`: to none. What is counted there means nothing.
    @inline(__always)
    func give(_ flow: Flow, to proxy: ProxyIndex) {
        takeFromProxy(flow)
        flow.pointee.proxy = proxy
        if tunnels.has(proxy) || configuration.proxiesOnClientSide {
            flow.pointee.marks.insert(.detoured)
        } else {
            flow.pointee.marks.remove(.detoured)
        }
        flowsOfProxy[Int(proxy.value)] &+= 1
    }

    /// The flow's entry goes, or goes to another.
    @inline(__always)
    func takeFromProxy(_ flow: Flow) { flowsOfProxy[Int(flow.pointee.proxy.value)] &-= 1 }

    mutating func introduce(_ proxy: ProxyIndex, _ hop: NextHop) {
        let index = Int(proxy.value)
        proxies[index] = hop
        proxyMACs[index] = (hop.mac.value &<< 16).bigEndian
        proxiesUp[index] = true
        if retirements[index] != 0 { retiring &-= 1 }
        retirements[index] = 0
        limitSegments()
    }

    mutating func retire(_ proxy: ProxyIndex, _ number: UInt32) {
        let index = Int(proxy.value)
        proxiesUp[index] = false
        if retirements[index] == 0 { retiring &+= 1 }
        retirements[index] = number
    }

    /// Tells of retired proxies that no flow has any more, and forgets where they were.
    mutating func tellUnusedProxies() {
        var index = 0
        while index < 255 {
            if retirements[index] != 0, flowsOfProxy[index] == 0,
                push(.proxyUnused(ProxyIndex(UInt8(truncatingIfNeeded: index)), retirements[index]))
            {
                retirements[index] = 0
                retiring &-= 1
                proxies[index] = NextHop(mac: .zero)
                proxyMACs[index] = 0
                encapsulate(ProxyIndex(UInt8(truncatingIfNeeded: index)), nil)
                datagrams.identifiers.forget(ProxyIndex(UInt8(truncatingIfNeeded: index)))
            }
            index &+= 1
        }
    }
}
