package import CRTP
internal import InterCore

/// How one rule's requests come to a proxy (US 9,338,192, columns 9 and 10). The one place that knows: an algorithm is a
/// case of `SelectionAlgorithm` and a function here. Each is a few passes over the rule's proxies and allocates nothing.
package struct Selection: Sendable {
    /// Indices of proxies, in the rule's order.
    package let candidates: [Int]
    package private(set) var algorithm: SelectionAlgorithm
    /// For `applicationHash` only.
    private var table: ContentTable?
    /// By proxy: how far its turn has come in this rule.
    private var turns: [Int] = []

    package init(_ algorithm: SelectionAlgorithm, among candidates: [Int], of proxies: [ProxyRecord]) {
        self.algorithm = algorithm
        self.candidates = candidates
        change(to: algorithm, of: proxies)
    }

    /// Those of the candidates that can ever be chosen.
    package var usable: ArraySlice<Int> { algorithm == .enforced ? candidates.prefix(1) : candidates[...] }

    /// From the next request on.
    package mutating func change(to algorithm: SelectionAlgorithm, of proxies: [ProxyRecord]) {
        self.algorithm = algorithm
        turns = Array(repeating: 0, count: proxies.count)
        table = algorithm == .applicationHash ? ContentTable(candidates.map { ($0, proxies[$0].configuration) }) : nil
    }

    /// What a choice depends on besides the proxies.
    package struct Query: Sendable {
        package var needs: Capabilities
        /// `contentHash` of the request.
        package var content: UInt64
        package var now: UInt64
        /// Not to be chosen.
        package var except = ProxySet()

        package init(needs: Capabilities, content: UInt64, now: UInt64) {
            self.needs = needs
            self.content = content
            self.now = now
        }
    }

    /// The proxy to ask; nil when none can be asked.
    package mutating func choose(of proxies: inout [ProxyRecord], for query: Query, random: inout SplitMix) -> Int? {
        switch algorithm {
        // Where no group can be asked, one of its members is.
        case .roundRobin, .multicast: roundRobin(&proxies, query)
        case .leastConnections: least(&proxies, query) { $0.connections }
        case .leastLoad: least(&proxies, query) { $0.estimatedLoad }
        case .mostLoad: mostLoad(&proxies, query)
        case .applicationHash: table?.proxy(for: query.content) { isEligible(&proxies[$0], query) }
        case .enforced: candidates.first.flatMap { isEligible(&proxies[$0], query) ? $0 : nil }
        case .twoChoices: twoChoices(&proxies, query, &random)
        }
    }

    /// Looks at a record where it is: an array's subscript copies all of one to call a method of it.
    private func look<Answer>(_ proxy: inout ProxyRecord, _ question: (ProxyRecord) -> Answer) -> Answer {
        question(proxy)
    }

    private func isEligible(_ proxy: inout ProxyRecord, _ query: Query) -> Bool {
        if !query.except.isEmpty, query.except.contains(Int(proxy.index.value)) { return false }
        return look(&proxy) { $0.isEligible(for: query.needs, now: query.now) }
    }

    private func weight(_ proxy: inout ProxyRecord) -> Int { look(&proxy) { max(1, $0.configuration.weight) } }

    /// Smooth weighted round robin: each eligible proxy gains its weight, the one that is furthest goes back by what all
    /// have gained. With equal weights this is plain round robin.
    private mutating func roundRobin(_ proxies: inout [ProxyRecord], _ query: Query) -> Int? {
        var chosen: Int?
        var gained = 0
        for index in candidates where isEligible(&proxies[index], query) {
            let weight = weight(&proxies[index])
            gained += weight
            turns[index] += weight
            if chosen.map({ turns[index] > turns[$0] }) ?? true { chosen = index }
        }
        if let chosen { turns[chosen] -= gained }
        return chosen
    }

    /// The least for its weight; among equals the one whose turn it is.
    private mutating func least(_ proxies: inout [ProxyRecord], _ query: Query, _ cost: (ProxyRecord) -> Int) -> Int? {
        var chosen: Int?
        for index in candidates where isEligible(&proxies[index], query) {
            guard let best = chosen else {
                chosen = index
                continue
            }
            let mine = look(&proxies[index], cost) * weight(&proxies[best])
            let its = look(&proxies[best], cost) * weight(&proxies[index])
            if mine < its || (mine == its && turns[index] < turns[best]) { chosen = index }
        }
        if let chosen { turns[chosen] += 1 }
        return chosen
    }

    /// Fills one proxy before the next, so that the others may rest: the most loaded for its weight that is below nine
    /// tenths; the least loaded when none is. Among equals the first.
    private mutating func mostLoad(_ proxies: inout [ProxyRecord], _ query: Query) -> Int? {
        var chosen: Int?
        for index in candidates
        where isEligible(&proxies[index], query) && look(&proxies[index], \.estimatedLoad) < Self.fullLoad {
            guard let best = chosen else {
                chosen = index
                continue
            }
            let mine = look(&proxies[index], \.estimatedLoad) * weight(&proxies[best])
            let its = look(&proxies[best], \.estimatedLoad) * weight(&proxies[index])
            if mine > its { chosen = index }
        }
        return chosen ?? least(&proxies, query) { $0.estimatedLoad }
    }

    private static var fullLoad: Int { 900 * ProxyRecord.loadUnit }

    /// Two drawn by weight, and of these the one with fewer connections for its weight: nearly as even as looking at all,
    /// and no herd that runs to whoever was last said to be idle.
    private func twoChoices(_ proxies: inout [ProxyRecord], _ query: Query, _ random: inout SplitMix) -> Int? {
        guard let first = draw(&proxies, query, but: nil, &random) else { return nil }
        guard let second = draw(&proxies, query, but: first, &random) else { return first }
        let mine = look(&proxies[first], \.connections) * weight(&proxies[second])
        let its = look(&proxies[second], \.connections) * weight(&proxies[first])
        return mine <= its ? first : second
    }

    /// One of the eligible, as often as its weight says.
    private func draw(
        _ proxies: inout [ProxyRecord], _ query: Query, but other: Int?, _ random: inout SplitMix
    ) -> Int? {
        var total = 0
        for index in candidates where index != other && isEligible(&proxies[index], query) {
            total += weight(&proxies[index])
        }
        guard total > 0 else { return nil }
        var point = Int.random(in: 0..<total, using: &random)
        for index in candidates where index != other && isEligible(&proxies[index], query) {
            point -= weight(&proxies[index])
            if point < 0 { return index }
        }
        return nil
    }
}

extension ProxyRecord {
    /// Load has this many units for each thousandth.
    package static var loadUnit: Int { 1_000 }

    /// The larger of processor and memory load by the agent's latest word, grown as its connections have since. 0 from an
    /// agent that has not said anything yet.
    package var estimatedLoad: Int {
        guard let status else { return 0 }
        let said = Int(max(status.processorLoad, status.memoryLoad)) * Self.loadUnit
        return said * (connections + 1) / (Int(status.connections) + 1)
    }
}

/// A small generator whose sequence follows from its seed (Steele, Lea and Flood 2014): for draws that nobody has to be
/// unable to guess.
package struct SplitMix: RandomNumberGenerator, Sendable {
    private var state: UInt64
    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return mixed(state)
    }
}

/// Every bit of the result depends on every bit of the value.
func mixed(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
}
