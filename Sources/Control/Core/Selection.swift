package import CRTP

/// Chooses a proxy (US 9,338,192, columns 9 and 10). The one place that knows how: an algorithm is a case of
/// `SelectionAlgorithm` and a function here. Each is one pass over the rule's proxies and allocates nothing.
package func selectProxy(
    by algorithm: SelectionAlgorithm, among candidates: [Int], of proxies: inout [ProxyRecord], needs: Capabilities,
    now: UInt64
) -> Int? {
    switch algorithm {
    case .roundRobin: roundRobin(candidates, &proxies, needs, now)
    case .leastConnections: leastConnections(candidates, &proxies, needs, now)
    }
}

/// Looks at a record where it is: an array's subscript copies all of one to call a method of it.
private func look<Answer>(_ proxy: inout ProxyRecord, _ question: (ProxyRecord) -> Answer) -> Answer { question(proxy) }

/// Smooth weighted round robin: each eligible proxy gains its weight, the one that is furthest goes back by what all
/// have gained. With equal weights this is plain round robin.
private func roundRobin(
    _ candidates: [Int], _ proxies: inout [ProxyRecord], _ needs: Capabilities, _ now: UInt64
) -> Int? {
    var chosen: Int?
    var gained = 0
    for index in candidates where look(&proxies[index], { $0.isEligible(for: needs, now: now) }) {
        let weight = max(1, proxies[index].configuration.weight)
        gained += weight
        proxies[index].turn += weight
        if chosen.map({ proxies[index].turn > proxies[$0].turn }) ?? true { chosen = index }
    }
    if let chosen { proxies[chosen].turn -= gained }
    return chosen
}

/// The fewest connections for its weight; among equals the one whose turn it is.
private func leastConnections(
    _ candidates: [Int], _ proxies: inout [ProxyRecord], _ needs: Capabilities, _ now: UInt64
) -> Int? {
    var chosen: Int?
    for index in candidates where look(&proxies[index], { $0.isEligible(for: needs, now: now) }) {
        guard let best = chosen else {
            chosen = index
            continue
        }
        let load = look(&proxies[index], \.connections) * max(1, proxies[best].configuration.weight)
        let leastLoad = look(&proxies[best], \.connections) * max(1, proxies[index].configuration.weight)
        if load < leastLoad || (load == leastLoad && proxies[index].turn < proxies[best].turn) { chosen = index }
    }
    if let chosen { proxies[chosen].turn += 1 }
    return chosen
}
